"""Two classifiers on the same documents: the difference of a score, with a 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tokensieve.model.probabilities import class_probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
_Z = 1.959964  # of 95 %
NORMAL = "normal interval of the paired difference, 95 %"
BOOTSTRAP = f"paired bootstrap of the documents, {RESAMPLES} resamples, 95 %"
Thresholds = Sequence[float] | None
"""With several labels a document, the probability from which each is given; None: 0.5, as training scores."""


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
    thresholds: tuple[Thresholds, Thresholds] = (None, None),
) -> Comparison:
    """Compare logits [N, C] of two classifiers.

    Args:
        floor: logits of the floor; calibrated, if it has thresholds.
        encoder: logits of the encoder, likewise.
        truth: class ids [N], or 0 and 1 [N, C].
        metric: "accuracy" (with several labels all of them right), "f1_macro" or "f1_micro".
        weights: of the documents [N], 0 or more; None: each counts once.
        thresholds: those of floor and encoder.
    """
    sides = zip((floor, encoder), thresholds, strict=True)
    counts = [_counts(logits, truth, limits) for logits, limits in sides]
    document_weights = np.ones(len(truth)) if weights is None else weights
    ours, others = (_score(each, truth, metric, document_weights) for each in counts)
    if metric == "accuracy":
        gap = _right(counts[0]) - _right(counts[1])
        return Comparison(ours, others, _normal_interval(gap, document_weights), NORMAL)
    weighted = [each * document_weights[:, None, None] for each in counts]
    return Comparison(ours, others, _resampled_interval(weighted, truth, metric), BOOTSTRAP)


def score(
    logits: NDArray[Any],
    truth: NDArray[np.int64],
    metric: str,
    weights: NDArray[np.float64] | None = None,
    thresholds: Thresholds = None,
) -> float:
    """The score of one classifier, as `compare` has it, in [0, 1]; without an interval it costs little."""
    document_weights = np.ones(len(truth)) if weights is None else weights
    return _score(_counts(logits, truth, thresholds), truth, metric, document_weights)


def in_points(difference: float, interval: Sequence[float]) -> str:
    """A difference and its interval, such as "+1.2 points [-0.3, 2.7]"."""
    low, high = interval
    return f"{100 * difference:+.1f} points [{100 * low:.1f}, {100 * high:.1f}]"


def _score(counts: NDArray[np.float64], truth: NDArray[np.int64], metric: str, weights: NDArray[np.float64]) -> float:
    if metric == "accuracy":
        return float(np.average(_right(counts), weights=weights))
    return f1((counts * weights[:, None, None]).sum(0), truth, metric)


def _normal_interval(gap: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of the weighted mean of a difference [N]."""
    middle = float(np.average(gap, weights=weights))
    half = _Z * math.sqrt(float((weights**2 * (gap - middle) ** 2).sum())) / float(weights.sum())
    return middle - half, middle + half


def _resampled_interval(
    counts: Sequence[NDArray[np.float64]], truth: NDArray[np.int64], metric: str
) -> tuple[float, float]:
    """The 95 % interval of the difference of F1, from the weighted counts [N, C, 3] of both sides."""
    generator = np.random.default_rng(0)
    gaps = []
    for _ in range(RESAMPLES):
        drawn = np.bincount(generator.integers(len(truth), size=len(truth)), minlength=len(truth))
        first, second = (f1(np.tensordot(drawn, each, 1), truth, metric) for each in counts)
        gaps.append(first - second)
    low, high = np.quantile(gaps, [0.025, 0.975])
    return float(low), float(high)


def _given(logits: NDArray[Any], truth: NDArray[np.int64], thresholds: Thresholds) -> NDArray[np.bool_]:
    """Which labels each document is given, [N, C], by the rule of `runtime.results.decide`."""
    if truth.ndim == 1:
        return np.asarray(logits.argmax(1)[:, None] == np.arange(logits.shape[1]))
    exact = torch.from_numpy(np.array(logits, dtype=np.float32))
    probabilities = class_probabilities(exact, "multi_label_classification").double().numpy()
    return np.asarray(probabilities >= (0.5 if thresholds is None else np.asarray(thresholds)))


def _counts(logits: NDArray[Any], truth: NDArray[np.int64], thresholds: Thresholds) -> NDArray[np.float64]:
    """Whether each label of each document is right, given, true: [N, C, 3] of 0 and 1."""
    given = _given(logits, truth, thresholds)
    true = truth == 1 if truth.ndim == 2 else truth[:, None] == np.arange(logits.shape[1])
    return np.stack([given & true, given, true], axis=2).astype(np.float64)


def _right(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 for each document whose labels are all right, [N]."""
    return np.asarray((counts[:, :, 1] == counts[:, :, 2]).all(1), dtype=np.float64)


def f1(sums: NDArray[np.float64], truth: NDArray[np.int64], metric: str) -> float:
    """F1 from the sums [C, 3] of right, given and true.

    A label that is neither given nor true counts 0 with several labels a document. Else it does not count.
    """
    if metric == "f1_micro":
        right, given, true = sums.sum(0)
        return float(2 * right / (given + true or 1.0))
    occurs = sums[:, 1] + sums[:, 2] > 0
    kept = sums if truth.ndim == 2 else sums[occurs]
    both = kept[:, 1] + kept[:, 2]
    return float(np.mean(2 * kept[:, 0] / np.where(both > 0, both, 1.0)))
