"""Scores of a classification, by scikit-learn, and of its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

ECE_BINS = 15
"""Bins of the calibration error, as in Guo et al. 2017."""


def accuracy_and_f1(truth: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None) -> dict[str, float]:
    """Accuracy, macro F1 (over the classes that occur in either) and micro F1, from class ids [N].

    Args:
        truth: what is true.
        predicted: what was given.
        weights: of the documents [N]; one of weight 0 counts as if it was not there. None: equal ones.
    """
    from sklearn.metrics import accuracy_score, f1_score

    true, given, counts = _that_count(truth, predicted, weights)
    options = {"sample_weight": counts, "zero_division": 0}
    return {
        "accuracy": float(accuracy_score(true, given, sample_weight=counts)),
        "f1_macro": float(f1_score(true, given, average="macro", **options)),
        "f1_micro": float(f1_score(true, given, average="micro", **options)),
    }


def multi_label_scores(truth: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None) -> dict[str, float]:
    """Scores of 0/1 arrays [N, C]: "accuracy" (all labels of a document right), "f1_macro" and "f1_micro".

    Macro F1 is the mean over all C labels; one that is neither true nor given anywhere counts as 0, as in scikit-learn.

    Args:
        truth: what is true.
        predicted: what was given.
        weights: of the documents [N]; None: equal ones.
    """
    from sklearn.metrics import f1_score

    true, given, counts = _that_count(truth, predicted, weights)
    options = {"sample_weight": counts, "zero_division": 0}
    pairs = options | {"sample_weight": None if counts is None else np.repeat(counts, true.shape[1])}
    # Label by label and flat: scikit-learn takes a matrix of one column for two classes, and means over both.
    per_label = [f1_score(true[:, i], given[:, i], **options) for i in range(true.shape[1])]
    return {
        "accuracy": float(np.average((true == given).all(1), weights=counts)),
        "f1_macro": float(np.mean(per_label)),
        "f1_micro": float(f1_score(true.ravel(), given.ravel(), **pairs)),
    }


def _that_count(truth: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None) -> tuple[Any, Any, Any]:
    """What is true, what was given, and the weights, of the documents whose weight is not 0."""
    true, given = np.asarray(truth), np.asarray(predicted)
    if weights is None:
        return true, given, None
    found = np.asarray(weights, dtype=np.float64)
    return true[found > 0], given[found > 0], found[found > 0]


def report_per_class(truth: ArrayLike, predicted: ArrayLike, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Precision, recall, F1 and support of every class, by name; from class ids [N], or 0/1 [N, C] for multi-label."""
    from sklearn.metrics import precision_recall_fscore_support

    true, given = np.asarray(truth), np.asarray(predicted)
    if true.ndim == 1:
        ids = np.arange(len(names))
        true, given = true[:, None] == ids, given[:, None] == ids
    report = {}
    for i, name in enumerate(names):
        columns = (true[:, i].astype(int), given[:, i].astype(int))
        precision, recall, f1, support = precision_recall_fscore_support(*columns, labels=[1], zero_division=0)
        report[name] = {
            "precision": float(precision[0]),
            "recall": float(recall[0]),
            "f1": float(f1[0]),
            "support": int(support[0]),
        }
    return report


def expected_calibration_error(
    probabilities: ArrayLike, truth: ArrayLike, bins: int = ECE_BINS, weights: ArrayLike | None = None
) -> float:
    """Expected calibration error: the mean over equal-width bins of |share right - mean confidence|.

    Single label: the confidence is the highest probability, right is whether that class is true (Guo et al. 2017, "On
    Calibration of Modern Neural Networks", section 2). Multi-label: every (document, label) pair counts by itself, the
    confidence is the label's probability, right is whether it is true. Bins weigh by what falls into them.

    Args:
        probabilities: [N, C], N > 0.
        truth: class ids [N], or 0/1 [N, C] for multi-label.
        bins: ((m - 1)/bins, m/bins] for m = 1 to bins.
        weights: of the documents [N]; None: equal ones.

    Returns:
        0 (calibrated) to 1.
    """
    sure, true = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
    counts = np.ones(len(sure)) if weights is None else np.asarray(weights, dtype=np.float64)
    if true.ndim == 1:
        right = sure.argmax(1) == true
        sure = sure.max(1)
    else:
        counts = np.repeat(counts, sure.shape[1])
        right, sure = true.ravel() > 0, sure.ravel()
    number = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(number, weights=counts * (right - sure), minlength=bins)
    return float(np.abs(gaps).sum() / counts.sum())
