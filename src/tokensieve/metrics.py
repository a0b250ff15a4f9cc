"""Scores of a classification, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def accuracy_and_f1(truth: Sequence[int], predicted: Sequence[int]) -> dict[str, float]:
    """Accuracy, macro F1 (over the classes that occur in either) and micro F1, from class ids [N]."""
    from sklearn.metrics import accuracy_score, f1_score

    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "f1_macro": float(f1_score(truth, predicted, average="macro", zero_division=0)),
        "f1_micro": float(f1_score(truth, predicted, average="micro", zero_division=0)),
    }


def report_per_class(truth: Sequence[int], predicted: Sequence[int], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Precision, recall, F1 and support of every class, by name."""
    from sklearn.metrics import precision_recall_fscore_support

    ids = list(range(len(names)))
    columns = precision_recall_fscore_support(truth, predicted, labels=ids, zero_division=0)
    precision, recall, f1, support = ([float(x) for x in column] for column in columns)
    return {
        name: {"precision": precision[i], "recall": recall[i], "f1": f1[i], "support": int(support[i])}
        for i, name in enumerate(names)
    }
