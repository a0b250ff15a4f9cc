"""Approximate importance scores beside the exact one, on trained classifiers -> results/score/<name>.json.

    python benchmarks/accuracy/score.py bbc-256 build/accuracy/bbc-256/hidden-p=.7-seed1 ... --data DATA/bbc

Agreement: in every layer that prunes, the share of the tokens kept by the exact score that an approximate one keeps,
too, and the rank correlation of the two, on the very same queries and keys. Accuracy: of the classifier as it was
trained, and with the score replaced and nothing trained again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from tokensieve import ReductionConfig, load
from tokensieve.data import Document, load_splits
from tokensieve.kernels.backends import BACKENDS
from tokensieve.kernels.received import ALL, Rows, received_attention
from tokensieve.metrics import accuracy_and_f1
from tokensieve.model.layer import Layer
from tokensieve.reduce.schedule import exact_ratio, next_count
from tokensieve.reduce.score.received import Received
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.engine import Engine
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS

CHOICES: dict[str, Received] = {
    "anchors": Received(queries="anchors"),
    **{f"sample {number}": Received(queries="sample", sample=number) for number in (8, 16, 32, 64)},
}


def main() -> None:
    """Every classifier of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", help="of the result")
    parser.add_argument("folders", type=Path, nargs="+", help="trained classifiers that prune")
    parser.add_argument("--data", type=Path, required=True, help="folder of split files")
    parser.add_argument("--documents", type=int, default=64, help="test documents on which rankings are compared")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    documents = load_splits(arguments.data).test
    record = {
        "data": arguments.data.name,
        "test_documents": len(documents),
        "compared_documents": arguments.documents,
        "classifiers": {folder.name: compare(folder, documents, arguments.documents) for folder in arguments.folders},
        "machine": machine(arguments.threads),
    }
    target = RESULTS / "score" / f"{arguments.name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def compare(folder: Path, documents: Sequence[Document], compared: int) -> dict[str, Any]:
    """Agreement and accuracy of every choice."""
    classifier = load(folder, device="cpu")
    settings = classifier.model.settings
    with watched(classifier, settings) as agreement:
        classifier.engine.classify(documents[:compared])
    return {
        "settings": settings.to_dict(),
        "accuracy": {
            name: accuracy(with_score(folder, choice), documents)
            for name, choice in {"all": Received(), **CHOICES}.items()
        },
        "agreement": {
            name: {what: mean(values) for what, values in figures.items()} for name, figures in agreement.items()
        },
    }


def with_score(folder: Path, score: Received) -> Classifier:
    """The trained classifier with another score."""
    classifier = load(folder, device="cpu")
    model = classifier.model
    for layer in model.encoder.layer:
        if isinstance(layer, Layer) and layer.prune is not None:
            layer.prune = dataclasses.replace(layer.prune, score=score)
    return Classifier(Engine(model, classifier.engine.tokenizer))


def accuracy(classifier: Classifier, documents: Sequence[Document]) -> dict[str, float]:
    """On labelled documents."""
    truth = [classifier.labels.index(str(document.label)) for document in documents]
    return accuracy_and_f1(truth, [result.label for result in classifier.engine.classify(documents)])


@contextmanager
def watched(classifier: Classifier, settings: ReductionConfig) -> Iterator[dict[str, dict[str, list[float]]]]:
    """Compare the choices on all queries and keys that are scored."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    name = classifier.model.attention_backend
    original, m = BACKENDS[name], settings.combination_tokens

    def note(
        q: Tensor, k: Tensor, v: Tensor, dropout: float, rows: Rows | None, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        if rows is not None:
            exact = text_scores(q, k, ALL, m, bias)
            for choice, score in CHOICES.items():
                wanted = score.rows_scored(q.shape[2], m)
                agree(found[choice], exact, text_scores(q, k, wanted, m, bias), settings)
        return original(q, k, v, dropout, rows, bias)

    BACKENDS[name] = note
    try:
        yield found
    finally:
        BACKENDS[name] = original


def text_scores(q: Tensor, k: Tensor, rows: Rows, m: int, bias: Tensor | None) -> np.ndarray:
    """Scores [documents, text tokens], the mean over heads."""
    return np.asarray(received_attention(q, k, rows, bias).mean(1)[:, : k.shape[2] - m])


def agree(found: dict[str, list[float]], exact: np.ndarray, other: np.ndarray, settings: ReductionConfig) -> None:
    """Add share kept alike and rank correlation of every document; protection is left aside."""
    assert settings.prune is not None
    count = next_count(exact.shape[1], 0, exact_ratio(settings.prune.schedule.expand(1)[0]))
    for a, b in zip(exact, other, strict=True):
        if min(np.ptp(a), np.ptp(b)) == 0:  # nothing to rank
            continue
        best = [set(np.argsort(-scores, kind="stable")[:count].tolist()) for scores in (a, b)]
        found["kept alike"].append(len(best[0] & best[1]) / count)
        found["rank correlation"].append(float(spearmanr(a, b).statistic))


if __name__ == "__main__":
    main()
