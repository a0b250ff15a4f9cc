"""All that could do the job, on the same documents, from text to label -> results/frontier/<set>/.

    python benchmarks/frontier/frontier.py benchmarks/configs/accuracy/cascade.json --data DATA --threads 2
    python benchmarks/frontier/frontier.py benchmarks/configs/accuracy/cascade.json --data DATA --threads 2 --time

It needs the runs of train.py with this config and with shallow.json, and the packages of the extra `rivals`. The first
command writes the answers to the test documents, a file a contender and seed, and goes on where it was stopped. Answers
that another record has are not asked for again: those of the bag of words, `dense`, `fast` and `cascade` in float32 are
in results/cascade, those of `dense` and `fast` in int8 in results/int8. The second command times all contenders in
turns, in one process, on an idle machine. Rivals read batches of 8, at which they are fastest (docs/results/rivals.md).
"""

from __future__ import annotations

from typing import Any

import torch
from contenders import CONTENDERS, UNLABELLED, Trained

from tokensieve.training.fits.bag import targets_of, texts_of
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS
from tokensieve_bench.record_files import file_of, write_fields
from tokensieve_bench.runs import LOGITS, config_parser, configs_of, run_folder, splits_of
from tokensieve_bench.trained import Answer, interleaved

FOLDER = RESULTS / "frontier"
ASKED = ("static", "3 layers", "cascade int8", "cascade int8, 1 point", "OpenVINO int8", "ONNX Runtime int8")
"""Contenders whose answers no other record has."""


def main() -> None:
    """The answers that are missing, or with --time the seconds of each set."""
    parser = config_parser()
    parser.add_argument("--seed", type=int, action="append", help="this one of the config's (repeatable)")
    parser.add_argument("--contender", action="append", choices=ASKED, help="its answers alone (repeatable)")
    parser.add_argument("--time", action="store_true", help="seconds, in place of answers")
    parser.add_argument("--documents", type=int, default=256, help="that are timed, the first of the test documents")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name, config in configs_of(arguments).items():
        seeds = [
            seed for seed in arguments.seed or config["seeds"] if (run_folder(name, "fast", seed) / LOGITS).is_file()
        ]
        if arguments.time and seeds:
            timed(config, name, seeds[0], arguments)
        elif not arguments.time:
            for seed in seeds:
                answered(config, name, seed, arguments)


def answered(config: dict[str, Any], name: str, seed: int, arguments: Any) -> None:
    """Write the answers of one seed that are not there yet."""
    splits = splits_of(config, arguments.data, UNLABELLED)
    trained = Trained(config, name, seed, splits, arguments.threads)
    places = {label: place for place, label in enumerate(splits.label_names)}
    for own in arguments.contender or ASKED:
        file = FOLDER / config["data"] / f"seed{seed}-{file_of({'variant': own})}"
        if file.is_file() or not trained.has(own):
            continue
        labels = CONTENDERS[own](trained)(texts_of(splits.test))
        predicted = [places[label] for label in labels]
        truth = targets_of(splits, splits.test)
        write_fields(
            file,
            {
                "contender": own,
                "seed": seed,
                "accuracy": sum(map(int.__eq__, predicted, truth.tolist())) / len(truth),
                "predicted": predicted,
                "machine": machine(arguments.threads),
            },
        )
        print(file)


def timed(config: dict[str, Any], name: str, seed: int, arguments: Any) -> None:
    """Write the seconds of all contenders that can be made here."""
    splits = splits_of(config, arguments.data, UNLABELLED)
    trained = Trained(config, name, seed, splits, arguments.threads)
    contenders: dict[str, Answer] = {own: make(trained) for own, make in CONTENDERS.items() if trained.has(own)}
    texts = texts_of(splits.test[: arguments.documents])
    seconds, _ = interleaved(contenders, texts, arguments.rounds)
    record = {
        "data": config["data"],
        "seed": seed,
        "documents": len(texts),
        "max_length": config["recipe"]["max_length"],
    }
    write_fields(
        FOLDER / config["data"] / "speed.json", record | {"seconds": seconds, "machine": machine(arguments.threads)}
    )
    print(config["data"], {own: round(len(texts) / min(times), 1) for own, times in seconds.items()})


if __name__ == "__main__":
    main()
