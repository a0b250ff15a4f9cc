"""Fit the floors to the documents of a config, and score them on the test documents -> results/floors/<set>.json.

    python benchmarks/words/floors.py benchmarks/configs/accuracy/floors.json --data DATA --set bbc

A floor draws no random numbers: there is one run a set. The seed chooses only the validation documents of a set that
has no file of them. Times are of this machine, of one process, from texts to labels.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn
import torch
import transformers

from tokensieve.data import load_splits
from tokensieve.data.targets import class_ids
from tokensieve.memory import peak_memory_bytes
from tokensieve.metrics import accuracy_and_f1, expected_calibration_error
from tokensieve.training.fits.bag import texts_of
from tokensieve.version import __version__
from tokensieve_bench.floors import static_floor, words_floor
from tokensieve_bench.machine import commit, machine
from tokensieve_bench.places import RESULTS
from tokensieve_bench.record_files import write_fields
from tokensieve_bench.runs import config_parser, configs_of

SEED = 0


def main() -> None:
    """All sets of a config, or those that are named."""
    arguments = config_parser().parse_args()
    torch.set_num_threads(arguments.threads)
    for name, config in configs_of(arguments).items():
        record = measured(config, arguments)
        write_fields(RESULTS / "floors" / f"{name.removeprefix('floors-')}.json", record)


def measured(config: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """The record of a set."""
    splits = load_splits(arguments.data / config["data"], seed=SEED).limited(**config["documents"])
    parts = (splits.train, splits.validation, splits.test)
    texts = [texts_of(part) for part in parts]
    truth = [np.array(class_ids(part, splits.label_names)) for part in parts]
    fitted = {"words": words_floor(splits, config["words"]), "static": static_floor(splits, **config["static"])}
    floors = {name: {**scored(own.answer, texts, truth), **own.facts} for name, own in fitted.items()}
    return {
        "config": {key: config[key] for key in ("data", "documents", "words", "static")},
        "commit": commit(),
        "seed": SEED,
        "machine": machine(arguments.threads),
        "versions": {
            "tokensieve": __version__,
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        "documents": {name: len(part) for name, part in zip(("train", "validation", "test"), parts, strict=True)},
        "labels": list(splits.label_names),
        "truth": {"validation": truth[1].tolist(), "test": truth[2].tolist()},
        "floors": floors,
        "peak_memory_bytes": peak_memory_bytes(torch.device("cpu")),
    }


def scored(answer: Callable[[list[Any]], Any], texts: list[Any], truth: list[Any]) -> dict[str, Any]:
    """Scores and answers on validation and test documents, and the speed on the latter."""
    answer(texts[1])  # to warm up
    start = time.perf_counter()
    probabilities = answer(texts[2])
    seconds = time.perf_counter() - start
    held_out = answer(texts[1])
    return {
        **accuracy_and_f1(truth[2], probabilities.argmax(1)),
        "ece": expected_calibration_error(probabilities, truth[2]),
        "validation_accuracy": float((held_out.argmax(1) == truth[1]).mean()),
        "documents_per_second": len(truth[2]) / seconds,
        "predicted": probabilities.argmax(1).tolist(),
        "confidence": [round(float(row.max()), 4) for row in probabilities],
        "validation_predicted": held_out.argmax(1).tolist(),
        "validation_confidence": [round(float(row.max()), 4) for row in held_out],
    }


if __name__ == "__main__":
    main()
