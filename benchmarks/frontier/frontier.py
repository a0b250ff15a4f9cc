"""All that could do the job, on the same documents, from text to label -> results/frontier/<set>/.

    python benchmarks/frontier/frontier.py benchmarks/configs/accuracy/cascade.json --data DATA --threads 2
    python benchmarks/frontier/frontier.py benchmarks/configs/accuracy/cascade.json --data DATA --threads 2 --time

It needs the runs of train.py with this config and with shallow.json, and the packages of the extra `rivals`. The first
command writes the answers to the test documents, a file a contender and seed, and goes on where it was stopped. Answers
that another record has are not asked for again: those of the bag of words, `dense`, `fast` and `cascade` in float32 are
in results/cascade, those of `dense` and `fast` in int8 in results/int8. The second command times all contenders in
turns, in one process, on an idle machine. A rival is timed at the size of batches that is fastest in a trial of 8, 16
and 32; the record has the trial. A record is not replaced by one that lacks some of its contenders.

For another config than cascade.json, such as mpnet.json, the folder is results/frontier-<config>/<set>/. "contenders"
in a config names those that take part.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from contenders import BATCHES, CONTENDERS, RIVALS, UNLABELLED, Trained, by_batch

from tokensieve.training.fits.bag import targets_of, texts_of
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS, frontier_of
from tokensieve_bench.process import use_threads
from tokensieve_bench.record_files import file_of, write_fields
from tokensieve_bench.rounds import run_interleaved, seconds
from tokensieve_bench.runs import LOGITS, chosen, config_parser, configs_of, run_folder, splits_of
from tokensieve_bench.trained import Answer, answer_seconds

ASKED = (
    *("static", "3 layers", "cascade int8", "cascade int8, 1 point", "transformers bf16"),
    *("OpenVINO bf16", "OpenVINO int8", "ONNX Runtime int8"),
)
"""Contenders whose answers no other record has."""
TRIALS = 2
"""Passes of a trial, of which the faster one counts."""


def main() -> None:
    """The answers that are missing, or with --time the seconds of each set."""
    parser = config_parser()
    parser.add_argument("--seed", type=int, action="append", help="this one of the config's (repeatable)")
    parser.add_argument("--contender", action="append", choices=ASKED, help="its answers alone (repeatable)")
    parser.add_argument("--time", action="store_true", help="seconds, in place of answers")
    parser.add_argument("--documents", type=int, default=256, help="that are timed, the first of the test documents")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    for name, config in configs_of(arguments).items():
        asked = chosen("--seed", arguments.seed, config["seeds"])
        seeds = [seed for seed in asked if (run_folder(name, "fast", seed) / LOGITS).is_file()]
        if arguments.time and seeds:
            timed(config, name, seeds[0], arguments)
        elif not arguments.time:
            for seed in seeds:
                answered(config, name, seed, arguments)


def folder_of(config: dict[str, Any], arguments: Any) -> Path:
    """The folder of the records of a set."""
    return RESULTS / frontier_of(arguments.config.stem) / str(config["data"])


def wanted(config: dict[str, Any], contenders: Iterable[str]) -> list[str]:
    """The contenders that take part in a config, of some."""
    return [own for own in contenders if own in config.get("contenders", CONTENDERS)]


def answered(config: dict[str, Any], name: str, seed: int, arguments: Any) -> None:
    """Write the answers of one seed that are not there yet."""
    splits = splits_of(config, arguments.data, UNLABELLED)
    trained = Trained(config, name, seed, splits, arguments.threads)
    places = {label: place for place, label in enumerate(splits.label_names)}
    for own in wanted(config, arguments.contender or ASKED):
        file = folder_of(config, arguments) / f"seed{seed}-{file_of({'variant': own})}"
        if is_answered(file, trained.made_of) or not trained.has(own):
            continue
        labels = CONTENDERS[own](trained)(texts_of(splits.test))
        predicted = [places[label] for label in labels]
        truth = targets_of(splits, splits.test)
        write_fields(
            file,
            {
                "contender": own,
                "seed": seed,
                "made_of": trained.made_of,
                "accuracy": sum(map(int.__eq__, predicted, truth.tolist())) / len(truth),
                "predicted": predicted,
                "machine": machine(arguments.threads),
            },
        )
        print(file)


def is_answered(file: Path, made_of: str) -> bool:
    """Whether a file has the answers of these weights."""
    return file.is_file() and json.loads(file.read_text(encoding="utf-8")).get("made_of") == made_of


def timed(config: dict[str, Any], name: str, seed: int, arguments: Any) -> None:
    """Write the seconds of all contenders that can be made here."""
    file = folder_of(config, arguments) / "speed.json"
    splits = splits_of(config, arguments.data, UNLABELLED)
    trained = Trained(config, name, seed, splits, arguments.threads)
    names = [own for own in wanted(config, CONTENDERS) if trained.has(own)]
    check_complete(file, names)
    texts = texts_of(splits.test[: arguments.documents])
    contenders = {own: CONTENDERS[own](trained) for own in names if own not in RIVALS}
    batches, trials = {}, {}
    for own in names:
        if own in RIVALS:
            answer_by = by_batch(own, trained)
            batches[own], trials[own] = best_batch(answer_by, texts)
            contenders[own] = answer_by(batches[own])
    found = answer_seconds(contenders, texts, arguments.rounds)
    record = {
        "data": config["data"],
        "seed": seed,
        "documents": len(texts),
        "max_length": config["recipe"]["max_length"],
        "batches": batches,
        "trial_seconds": trials,
        "seconds": found,
        "machine": machine(arguments.threads),
    }
    write_fields(file, record)
    print(config["data"], {own: round(len(texts) / min(times), 1) for own, times in found.items()})


def check_complete(file: Path, contenders: Collection[str]) -> None:
    """Refuse to replace a record by one that has fewer contenders.

    Raises:
        SystemExit: the record has a contender that cannot be made here.
    """
    record = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"seconds": {}}
    if missing := [own for own in record["seconds"] if own not in contenders]:
        raise SystemExit(
            f"{file}: it has times of {', '.join(missing)}, which the config leaves out or which cannot be made "
            "here: install the extra `rivals`, run train.py with shallow.json, or move the record away"
        )


def best_batch(answer_by: Callable[[int], Answer], texts: list[Any]) -> tuple[int, dict[str, list[float]]]:
    """The size of batches at which a rival is fastest, and the seconds of each that was tried."""
    calls = {size: partial(seconds, partial(answer_by(size), texts)) for size in BATCHES}
    tried = run_interleaved({str(size): call for size, call in calls.items()}, TRIALS, lambda _: None, warm_up=False)
    return min(BATCHES, key=lambda size: min(tried[str(size)])), tried


if __name__ == "__main__":
    main()
