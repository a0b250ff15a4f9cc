"""Fit the floors to the documents of a config, and score them on the test documents -> results/floors/<set>.json.

    python benchmarks/words/floors.py benchmarks/configs/accuracy/floors.json --data DATA --set bbc

A floor draws no random numbers: there is one run a set. The seed chooses only the validation documents of a set that
has no file of them. Times are of this machine, of one process, from texts to labels.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
import transformers

from tokensieve.backbones.default_model import default_model_dir
from tokensieve.data import DataSplits, load_splits
from tokensieve.data.targets import class_ids
from tokensieve.data.tokenize import Encodings, encode
from tokensieve.memory import peak_memory_bytes
from tokensieve.metrics import accuracy_and_f1, expected_calibration_error
from tokensieve.training.fits.bag import fit_bag, targets_of, texts_of
from tokensieve.training.recipe import Recipe
from tokensieve.version import __version__
from tokensieve.words import WordsSettings
from tokensieve.words.static import StaticClassifier, mean_vectors
from tokensieve_bench.machine import commit, machine
from tokensieve_bench.places import RESULTS
from tokensieve_bench.runs import config_parser, configs_of

SEED = 0


def main() -> None:
    """All sets of a config, or those that are named."""
    arguments = config_parser().parse_args()
    torch.set_num_threads(arguments.threads)
    for name, config in configs_of(arguments).items():
        record = measured(config, arguments)
        target = RESULTS / "floors" / f"{name.removeprefix('floors-')}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n  ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in record.items())
        target.write_text(f"{{\n  {lines}\n}}\n", encoding="utf-8")


@dataclass(frozen=True)
class Floor:
    """A fitted floor.

    Attributes:
        answer: texts, or pairs of texts -> probabilities [N, C].
        facts: how it was fitted.
    """

    answer: Callable[[list[Any]], Any]
    facts: dict[str, Any]


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


def words_floor(splits: DataSplits, settings: dict[str, Any]) -> Floor:
    """A bag of words, fitted to the training documents; the validation documents choose what `settings` leaves open."""
    start = time.perf_counter()
    words = fit_bag(splits, Recipe(), WordsSettings(**settings))
    facts = {
        "fit_seconds": time.perf_counter() - start,
        "settings": words.settings.to_dict(),
        "terms": len(words.weights),
        "temperature": words.temperature,
    }
    return Floor(words.predict_proba, facts)


def static_floor(splits: DataSplits, max_length: int) -> Floor:
    """The mean of the default model's word vectors, fitted likewise."""
    folder: Path = default_model_dir()
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    table = model.get_input_embeddings().weight

    def vectors(texts: list[Any]) -> Any:
        found = encoded(tokenizer, texts, max_length)
        rows = zip(found.input_ids, found.special_tokens_mask, strict=True)
        return mean_vectors(table, [[token for token, own in zip(*row, strict=True) if not own] for row in rows])

    def answer(texts: list[Any]) -> Any:
        return torch.tensor(static.logits(vectors(texts))).softmax(1).numpy()

    start = time.perf_counter()
    held_out = vectors(texts_of(splits.validation)), targets_of(splits, splits.validation)
    training, truth = vectors(texts_of(splits.train)), targets_of(splits, splits.train)
    static = StaticClassifier.fit(training, truth, len(splits.label_names), validation=held_out)
    return Floor(answer, {"fit_seconds": time.perf_counter() - start, "inverse_penalty": static.inverse_penalty})


def encoded(tokenizer: Any, texts: list[Any], max_length: int) -> Encodings:
    """Token ids of texts, or of pairs of texts."""
    firsts, seconds = zip(*texts, strict=True) if isinstance(texts[0], tuple) else (texts, None)
    return encode(tokenizer, firsts, max_length, seconds)


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
