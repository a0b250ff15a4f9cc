"""The gate: how far the answers of an int8 classifier are from those of the classifier it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokensieve.checks import check_number
from tokensieve.data.documents import Document
from tokensieve.data.targets import class_ids, label_matrix
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.results import Result, given_labels
from tokensieve.training.compare import compare


@dataclass(frozen=True)
class Gate:
    """What may change.

    Attributes:
        labels_changed: share of the documents whose label (of several, the set of them) may be another one, in [0, 1].
        mean_change: mean absolute change of a document's probability of the label it had, in [0, 1].

    Raises:
        ConfigError: a number out of range.
    """

    labels_changed: float = 0.015
    mean_change: float = 0.01

    def __post_init__(self) -> None:
        for name in ("labels_changed", "mean_change"):
            check_number(self, name, lambda share: 0 <= share <= 1, "a number in [0, 1]")

    def passes(self, report: dict[str, Any]) -> bool:
        """Whether the figures of a report are within these bounds."""
        return bool(report["labels_changed"] <= self.labels_changed and report["mean_change"] <= self.mean_change)


def changes(before: Sequence[Result], after: Sequence[Result]) -> dict[str, Any]:
    """How far the answers to the same documents are apart: "labels_changed" and "mean_change", as `Gate` has them."""
    pairs = list(zip(before, after, strict=True))
    moved = [abs(one.probabilities[one.label] - other.probabilities[one.label]) for one, other in pairs]
    changed = [set(one.labels) != set(other.labels) for one, other in pairs]
    return {"labels_changed": float(np.mean(changed)), "mean_change": float(np.mean(moved))}


def judged(
    classifier: Classifier, documents: Sequence[Document], before: Sequence[Result], after: Sequence[Result]
) -> dict[str, Any]:
    """`changes`, and of labelled documents the accuracy of both and their difference with a 95 % interval.

    Args:
        classifier: tells the labels.
        documents: all labelled, or none.
        before: results of the classifier in float32.
        after: results in int8.
    """
    report = {"documents": len(documents), **changes(before, after)}
    if any(document.label is None for document in documents):
        return report
    several = classifier.model.config.is_multi_label
    if several:
        truth = label_matrix(documents, classifier.labels).long().numpy()
    else:
        truth = np.array(class_ids(documents, classifier.labels))
    # Scores: 1 for the labels that are given, -1 for the others.
    quantized, plain = ((2 * given_labels(results, len(classifier.labels)) - 1).numpy() for results in (after, before))
    found = compare(quantized, plain, truth, "accuracy")
    return {
        **report,
        "accuracy": found.floor,
        "accuracy_float32": found.encoder,
        "difference": found.difference,
        "interval": list(found.interval),
        "interval_by": found.method,
    }
