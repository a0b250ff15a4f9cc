"""Fit the floors to the documents of a config, and score them on the test documents -> results/floors/<set>.json.

    python experiments/floors.py experiments/configs/floors.json --data DATA --set bbc

A floor draws no random numbers: there is one run a set. The seed chooses only the validation documents of a set that
has no file of them. Times are of this machine, of one process, from texts to labels.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
import transformers
from machine import ROOT, commit, machine
from runs import config_parser, configs_of

from tokensieve.backbones.default_model import default_model_dir
from tokensieve.data import DataSplits, load_splits
from tokensieve.data.targets import class_ids
from tokensieve.data.tokenize import encode
from tokensieve.memory import peak_memory_bytes
from tokensieve.metrics import accuracy_and_f1, expected_calibration_error
from tokensieve.training.fit_bag import texts_of
from tokensieve.version import __version__
from tokensieve.words import WordsClassifier, WordsSettings
from tokensieve.words.static import StaticClassifier, mean_vectors

SEED = 0


def main() -> None:
    """All sets of a config, or those that are named."""
    arguments = config_parser().parse_args()
    torch.set_num_threads(arguments.threads)
    for name, config in configs_of(arguments).items():
        record = measured(config, arguments)
        target = ROOT / "results" / "floors" / f"{name.removeprefix('floors-')}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n  ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in record.items())
        target.write_text(f"{{\n  {lines}\n}}\n", encoding="utf-8")


def measured(config: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """The record of a set."""
    splits = load_splits(arguments.data / config["data"], seed=SEED).limited(**config["documents"])
    parts = (splits.train, splits.validation, splits.test)
    texts = [texts_of(part) for part in parts]
    truth = [np.array(class_ids(part, splits.label_names)) for part in parts]
    floors = {"words": _words(config, splits, texts, truth), "static": _static(config, splits, texts, truth)}
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


def _words(config: dict[str, Any], splits: DataSplits, texts: list[Any], truth: list[Any]) -> dict[str, Any]:
    start = time.perf_counter()
    settings = WordsSettings(**config["words"])
    words = WordsClassifier.fit(
        texts[0], truth[0], splits.label_names, validation=(texts[1], truth[1]), settings=settings
    )
    seconds = time.perf_counter() - start
    record = _scored(lambda part: words.predict_proba(texts[part]), truth)
    return {
        **record,
        "fit_seconds": seconds,
        "settings": words.settings.to_dict(),
        "terms": len(words.weights),
        "temperature": words.temperature,
    }


def _static(config: dict[str, Any], splits: DataSplits, texts: list[Any], truth: list[Any]) -> dict[str, Any]:
    folder: Path = default_model_dir()
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    table = model.get_input_embeddings().weight

    def vectors(part: int) -> Any:
        found = encode(tokenizer, texts[part], config["static"]["max_length"])
        pairs = zip(found.input_ids, found.special_tokens_mask, strict=True)
        return mean_vectors(table, [[token for token, own in zip(*row, strict=True) if not own] for row in pairs])

    start = time.perf_counter()
    training, validation = vectors(0), vectors(1)
    static = StaticClassifier.fit(training, truth[0], len(splits.label_names), validation=(validation, truth[1]))
    seconds = time.perf_counter() - start

    def answer(part: int) -> Any:
        return torch.tensor(static.logits(vectors(part))).softmax(1).numpy()

    return {**_scored(answer, truth), "fit_seconds": seconds, "inverse_penalty": static.inverse_penalty}


def _scored(answer: Callable[[int], Any], truth: list[Any]) -> dict[str, Any]:
    """Scores and answers on validation and test documents, and the speed on the latter."""
    answer(1)  # to warm up
    start = time.perf_counter()
    probabilities = answer(2)
    seconds = time.perf_counter() - start
    held_out = answer(1)
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
