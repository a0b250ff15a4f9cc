"""Where an encoder is needed: floors, encoders and a cascade of both on the same documents -> results/worth/<set>.json.

    python benchmarks/words/worth_sets.py --data DATA
    python benchmarks/accuracy/train.py benchmarks/configs/accuracy/worth.json --data DATA --threads 1
    python benchmarks/words/worth.py benchmarks/configs/accuracy/worth.json --data DATA --threads 1

The encoders are those of train.py's runs. The floors are fitted here, to the same documents, and so is the cascade,
to the validation documents. Speed is from text to label on this machine, all in turns in one process; "seconds" has
what was timed, by round, and "documents_per_second" follows from the medians.

`fast` answers as `dense` where a text has fewer than 48 tokens. It is not trained for sets whose texts are that short,
and the cascade has `dense` behind the bag of words there.

A set under "recorded" is not trained again. The answers of its encoders are those of an earlier record. Its dense
model is timed with random weights, as speed does not depend on them. The speed of `fast` is that of dense times their
ratio in an earlier benchmark, and the speed of the cascade follows from the share that it defers.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from cascade import cascade
from transformers import AutoTokenizer

from tokensieve import ReductionConfig, compress, load
from tokensieve.backbones.default_model import default_model_dir
from tokensieve.data import DataSplits
from tokensieve.kernels.linear import lay_out_weights
from tokensieve.model.probabilities import best_temperature
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.engine import Engine
from tokensieve.training.fits.bag import targets_of, texts_of
from tokensieve_bench.figures import speedup
from tokensieve_bench.floors import encoded, static_floor, words_floor
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS
from tokensieve_bench.process import use_threads
from tokensieve_bench.record_files import write_fields
from tokensieve_bench.records import Results
from tokensieve_bench.runs import LOGITS, config_parser, configs_of, run_folder, splits_of
from tokensieve_bench.trained import KIND, Answer, answer_seconds, cascade_folder

FOLDER = RESULTS / "worth"
ALLOWED = 0.5
"""Points of accuracy that the bag of words may be expected to lose as a first stage, as in the preset `cascade`."""
FLOORS = ("words", "static")
CASCADE = "words -> encoder"

Record = dict[str, Any]


def main() -> None:
    """Every set that has runs with logits, and those that are recorded already."""
    parser = config_parser()
    parser.add_argument("--documents", type=int, default=128, help="the first of the test documents, which are timed")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    config = json.loads(arguments.config.read_text(encoding="utf-8"))
    for name, own in configs_of(arguments, config["recorded"]).items():
        if (run_folder(name, "dense", own["seeds"][0]) / LOGITS).is_file():
            write(own["data"], measured(own, name, arguments), arguments)
    for name, own in config["recorded"].items():
        if not arguments.set or name in arguments.set:
            write(name, recorded(config, own, arguments), arguments)


def write(name: str, record: Record, arguments: argparse.Namespace) -> None:
    """Write the record of a set."""
    record["machine"] = machine(arguments.threads)
    write_fields(FOLDER / f"{name}.json", record)


def measured(config: dict[str, Any], name: str, arguments: argparse.Namespace) -> Record:
    """The record of a set whose encoders were trained for it."""
    splits, seed = splits_of(config, arguments.data), config["seeds"][0]
    variants = [own for own in config["variants"] if (run_folder(name, own, seed) / LOGITS).is_file()]
    classifiers = {own: load(run_folder(name, own, seed), device="cpu") for own in variants}
    whole = load(cascade_folder(splits, name, seed, ALLOWED, variants[-1]), device="cpu")
    contenders = floors_of(splits, config) | {own: classifier.predict for own, classifier in classifiers.items()}
    contenders[CASCADE] = whole.predict
    seconds = answer_seconds(contenders, texts_of(splits.test[: arguments.documents]), arguments.rounds)
    texts = texts_of(splits.test)
    runs = {own: json.loads((run_folder(name, own, seed) / "run.json").read_text("utf-8")) for own in variants}
    predicted = {own: class_ids_of(splits, contenders[own](texts)) for own in FLOORS}
    predicted |= {own: run["predicted"] for own, run in runs.items()}
    results = whole.results(texts)
    predicted[CASCADE] = [result.label for result in results]
    own = {
        "seed": seed,
        "max_length": config["recipe"]["max_length"],
        "epochs": config["recipe"]["epochs"],
        "cascade": {
            "encoder": variants[-1],
            "deferred": float(np.mean([result.stage != "words" for result in results])),
        },
        **lengths(classifiers["dense"].engine.tokenizer, texts, config["recipe"]["max_length"]),
        "seconds": seconds,
    }
    return record_of(splits, arguments, predicted, medians(seconds), own)


def medians(seconds: dict[str, list[float]]) -> dict[str, float]:
    """The median of the rounds of each contender."""
    return {name: median(times) for name, times in seconds.items()}


def record_of(
    splits: DataSplits,
    arguments: argparse.Namespace,
    predicted: dict[str, list[int]],
    seconds: dict[str, float],
    own: Record,
) -> Record:
    """What all records have: documents, and of each contender answers and speed."""
    truth = targets_of(splits, splits.test)
    counts = {split: len(getattr(splits, split)) for split in ("train", "validation", "test")}
    timed = min(arguments.documents, len(truth))
    return {
        **own,
        "documents": counts,
        "labels": len(splits.label_names),
        "allowed": ALLOWED,
        "timed": {"documents": timed, "rounds": arguments.rounds},
        "truth": truth.tolist(),
        "contenders": {
            name: {
                "accuracy": float((np.array(answers) == truth).mean()),
                "documents_per_second": timed / seconds[name],
                "predicted": answers,
            }
            for name, answers in predicted.items()
        },
    }


def lengths(tokenizer: Any, texts: list[Any], max_length: int) -> Record:
    """Mean tokens of texts, or pairs, and the share of those that are too short for `fast` to prune."""
    found = np.array(encoded(tokenizer, texts, max_length).lengths)
    return {
        "mean_length": float(found.mean()),
        "short": float((found < ReductionConfig.preset("fast").min_length).mean()),
    }


def floors_of(splits: DataSplits, config: dict[str, Any]) -> dict[str, Answer]:
    """Both floors, from texts to labels."""
    fitted = {"words": words_floor(splits, config["words"]), "static": static_floor(splits, **config["static"])}

    def labels(answer: Any) -> Answer:
        return lambda texts: [splits.label_names[own] for own in answer(texts).argmax(1)]

    return {name: labels(floor.answer) for name, floor in fitted.items()}


def class_ids_of(splits: DataSplits, labels: list[str]) -> list[int]:
    """Class ids of labels."""
    places = {label: place for place, label in enumerate(splits.label_names)}
    return [places[label] for label in labels]


def recorded(config: dict[str, Any], given: dict[str, Any], arguments: argparse.Namespace) -> Record:
    """The record of a set whose encoders are those of an earlier record; it has two labels."""
    earlier, bench = Results().read(given["accuracy"]), Results().read(given["bench"])["cells"][0]
    splits = splits_of(earlier["config"], arguments.data)
    texts = {split: texts_of(getattr(splits, split)) for split in ("validation", "test")}
    truth = {split: torch.from_numpy(targets_of(splits, getattr(splits, split))) for split in texts}
    runs = {run["variant"]: run for run in earlier["runs"] if run["seed"] == given["seed"]}
    if earlier["truth"] != truth["test"].tolist():
        raise SystemExit(f"{given['accuracy']}: made of other test documents than the data has: give the same data")
    max_length = earlier["config"]["recipe"]["max_length"]
    contenders = floors_of(splits, config) | {"dense": untrained(len(splits.label_names), max_length)}
    times = answer_seconds(contenders, texts["test"][: arguments.documents], arguments.rounds)
    predicted = {own: class_ids_of(splits, contenders[own](texts["test"])) for own in FLOORS}
    predicted |= {own: runs[own]["predicted"] for own in ("dense", "fast")}
    words = words_floor(splits, config["words"]).answer
    first = {split: torch.from_numpy(words(own)).double().clamp(min=1e-12).log() for split, own in texts.items()}
    both = cascade(first, logits_of_two(runs["fast"], truth), truth, ALLOWED)
    predicted[CASCADE], share = both["predicted"], both["share"]["test"]
    seconds = medians(times)
    seconds["fast"] = seconds["dense"] / speedup(bench, "fast", "dense").median
    seconds[CASCADE] = seconds["words"] + share * seconds["fast"]
    own = {
        "seed": given["seed"],
        "max_length": max_length,
        "epochs": earlier["config"]["recipe"]["epochs"],
        "recorded": given,
        "cascade": {"encoder": "fast", "deferred": share},
        **lengths(AutoTokenizer.from_pretrained(default_model_dir()), texts["test"], max_length),
        "seconds": times,
    }
    return record_of(splits, arguments, predicted, seconds, own)


def logits_of_two(run: Record, truth: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Calibrated logits [N, 2] by split, from a run's record: its answers, and the probability of each."""
    right = torch.tensor(run["validation_right"]).bool()
    given = {
        "validation": torch.where(right, truth["validation"], 1 - truth["validation"]),
        "test": torch.tensor(run["predicted"]),
    }
    sure = {"validation": run["validation_confidence"], "test": run["confidence"]}
    logits = {}
    for split, answers in given.items():
        lead = torch.tensor(sure[split]).double().clamp(0.5, 1 - 5e-5).logit()  # they have four digits
        logits[split] = torch.stack([torch.where(answers == label, lead, 0.0) for label in (0, 1)], 1).float()
    heat = best_temperature(logits["validation"], truth["validation"], multi_label=KIND.startswith("multi"))
    return {split: own / heat for split, own in logits.items()}


def untrained(labels: int, max_length: int) -> Answer:
    """The dense model with a random head, to time it."""
    folder: Path = default_model_dir()
    model = compress(folder, ReductionConfig(prune=None, pooling="mean"), num_labels=labels).eval()
    lay_out_weights(model)
    classifier = Classifier(Engine(model, AutoTokenizer.from_pretrained(folder), max_length=max_length))
    answer: Answer = classifier.predict
    return answer


if __name__ == "__main__":
    main()
