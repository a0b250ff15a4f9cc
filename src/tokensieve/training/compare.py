"""Two classifiers on the same documents: the difference of a score, with a 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
_Z = 1.959964  # of 95 %
NORMAL = "normal interval of the paired difference, 95 %"
BOOTSTRAP = f"paired bootstrap of the documents, {RESAMPLES} resamples, 95 %"


@dataclass(frozen=True)
class Comparison:
    """A floor beside an encoder.

    Attributes:
        floor: its score, in [0, 1].
        encoder: that of the encoder.
        interval: of the difference, floor less encoder.
        method: how the interval was made.
    """

    floor: float
    encoder: float
    interval: tuple[float, float]
    method: str

    @property
    def difference(self) -> float:
        """Floor less encoder."""
        return self.floor - self.encoder


def compare(
    floor: NDArray[Any],
    encoder: NDArray[Any],
    truth: NDArray[np.int64],
    metric: str,
    weights: NDArray[np.float64] | None = None,
) -> Comparison:
    """Compare logits [N, C] of two classifiers, as training scores them: with several labels at probability 0.5.

    Args:
        floor: logits of the floor.
        encoder: logits of the encoder.
        truth: class ids [N], or 0 and 1 [N, C].
        metric: "accuracy" (with several labels all of them right), "f1_macro" or "f1_micro".
        weights: of the documents [N], 0 or more; None: each counts once.
    """
    document_weights = np.ones(len(truth)) if weights is None else weights
    if metric == "accuracy":
        right = [_right(logits, truth) for logits in (floor, encoder)]
        means = [float(np.average(each, weights=document_weights)) for each in right]
        gap = right[0] - right[1]
        middle = float(np.average(gap, weights=document_weights))
        half = _Z * math.sqrt(float((document_weights**2 * (gap - middle) ** 2).sum())) / float(document_weights.sum())
        return Comparison(means[0], means[1], (middle - half, middle + half), NORMAL)
    counts = [_counts(logits, truth) * document_weights[:, None, None] for logits in (floor, encoder)]
    whole = [f1(each.sum(0), truth, metric) for each in counts]
    generator = np.random.default_rng(0)
    gaps = []
    for _ in range(RESAMPLES):
        drawn = np.bincount(generator.integers(len(truth), size=len(truth)), minlength=len(truth))
        first, second = (f1(np.tensordot(drawn, each, 1), truth, metric) for each in counts)
        gaps.append(first - second)
    low, high = np.quantile(gaps, [0.025, 0.975])
    return Comparison(whole[0], whole[1], (float(low), float(high)), BOOTSTRAP)


def in_points(difference: float, interval: Sequence[float]) -> str:
    """A difference and its interval, such as "+1.2 points [-0.3, 2.7]"."""
    low, high = interval
    return f"{100 * difference:+.1f} points [{100 * low:.1f}, {100 * high:.1f}]"


def _right(logits: NDArray[Any], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    if truth.ndim == 2:
        return np.asarray(((logits > 0) == (truth == 1)).all(1), dtype=np.float64)
    return np.asarray(logits.argmax(1) == truth, dtype=np.float64)


def _counts(logits: NDArray[Any], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """By document and label whether it is right, predicted, true: [N, C, 3] of 0 and 1."""
    labels = np.arange(logits.shape[1])
    predicted = logits > 0 if truth.ndim == 2 else logits.argmax(1)[:, None] == labels
    true = truth == 1 if truth.ndim == 2 else truth[:, None] == labels
    return np.stack([predicted & true, predicted, true], axis=2).astype(np.float64)


def f1(sums: NDArray[np.float64], truth: NDArray[np.int64], metric: str) -> float:
    """F1 from the sums [C, 3] of right, predicted and true.

    A label that is neither predicted nor true counts 0 with several labels a document. Else it does not count.
    """
    if metric == "f1_micro":
        right, predicted, true = sums.sum(0)
        return float(2 * right / (predicted + true or 1.0))
    occurs = sums[:, 1] + sums[:, 2] > 0
    kept = sums if truth.ndim == 2 else sums[occurs]
    both = kept[:, 1] + kept[:, 2]
    return float(np.mean(2 * kept[:, 0] / np.where(both > 0, both, 1.0)))
