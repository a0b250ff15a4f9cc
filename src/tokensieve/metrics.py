"""Scores of a classification, by scikit-learn, and of its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

ECE_BINS = 15
"""Bins of the calibration error, as in Guo et al. 2017."""


def accuracy_and_f1(truth: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """Accuracy, macro F1 (over the classes that occur in either) and micro F1, from class ids [N]."""
    from sklearn.metrics import accuracy_score, f1_score

    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "f1_macro": float(f1_score(truth, predicted, average="macro", zero_division=0)),
        "f1_micro": float(f1_score(truth, predicted, average="micro", zero_division=0)),
    }


def multi_label_scores(truth: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """Scores of 0/1 arrays [N, C]: "accuracy" (all labels of a document right), "f1_macro" and "f1_micro".

    Macro F1 is the mean over all C labels; one that is neither true nor given anywhere counts as 0, as in scikit-learn.
    """
    from sklearn.metrics import f1_score

    true, given = np.asarray(truth), np.asarray(predicted)
    # Label by label and flat: scikit-learn takes a matrix of one column for two classes, and means over both.
    per_label = [f1_score(true[:, i], given[:, i], zero_division=0) for i in range(true.shape[1])]
    return {
        "accuracy": float((true == given).all(1).mean()),
        "f1_macro": float(np.mean(per_label)),
        "f1_micro": float(f1_score(true.ravel(), given.ravel(), zero_division=0)),
    }


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


def expected_calibration_error(probabilities: ArrayLike, truth: ArrayLike, bins: int = ECE_BINS) -> float:
    """Expected calibration error: the mean over equal-width bins of |share right - mean confidence|.

    Single label: the confidence is the highest probability, right is whether that class is true (Guo et al. 2017, "On
    Calibration of Modern Neural Networks", section 2). Multi-label: every (document, label) pair counts by itself, the
    confidence is the label's probability, right is whether it is true. Bins weigh by what falls into them.

    Args:
        probabilities: [N, C], N > 0.
        truth: class ids [N], or 0/1 [N, C] for multi-label.
        bins: ((m - 1)/bins, m/bins] for m = 1 to bins.

    Returns:
        0 (calibrated) to 1.
    """
    sure, true = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
    if true.ndim == 1:
        right = sure.argmax(1) == true
        sure = sure.max(1)
    else:
        right, sure = true.ravel() > 0, sure.ravel()
    number = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(number, weights=right - sure, minlength=bins)
    return float(np.abs(gaps).sum() / len(sure))
