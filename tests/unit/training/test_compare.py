"""Two classifiers on the same documents: scores are scikit-learn's, thresholds those that answer."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from tokensieve.runtime.results import decide
from tokensieve.training.compare import compare, score


@pytest.mark.parametrize("metric", ["f1_macro", "f1_micro"])
@pytest.mark.parametrize("lists", [False, True])
def test_scores_are_scikit_learns(metric: str, lists: bool) -> None:
    generator = np.random.default_rng(0)
    logits, others = generator.standard_normal((2, 50, 4))
    truth = (generator.random((50, 4)) > 0.6).astype(np.int64) if lists else generator.integers(0, 4, 50)
    given = (logits > 0).astype(int) if lists else logits.argmax(1)
    found = compare(logits, others, truth, metric)
    assert found.floor == pytest.approx(f1_score(truth, given, average=metric.removeprefix("f1_"), zero_division=0))
    assert found.interval[0] < found.difference < found.interval[1]
    assert compare(logits, logits, truth, metric).interval == (0.0, 0.0)


def test_the_normal_interval_of_a_paired_difference() -> None:
    truth = np.zeros(100, dtype=np.int64)
    right, wrong = [1.0, 0.0], [0.0, 1.0]
    floor = np.array([right] * 90 + [wrong] * 10)
    encoder = np.array([right] * 80 + [wrong] * 20)
    found = compare(floor, encoder, truth, "accuracy")
    assert (found.floor, found.encoder) == (0.9, 0.8)
    half = 1.959964 * np.sqrt(0.1 * 0.9 / 100)
    assert found.interval == pytest.approx((0.1 - half, 0.1 + half))


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "f1_micro"])
def test_labels_are_given_by_the_thresholds_of_each_side(metric: str) -> None:
    """As if both answered with certainty what they give by their thresholds."""
    generator = np.random.default_rng(0)
    logits, others = generator.standard_normal((2, 60, 3)).astype(np.float32)
    truth = (logits + generator.standard_normal((60, 3)) > 0.8).astype(np.int64)
    limits = ((0.7, 0.6, 0.9), (0.2, 0.5, 0.4))
    certain = [np.where(given(own, limit), 9.0, -9.0) for own, limit in zip((logits, others), limits, strict=True)]
    found, wanted = compare(logits, others, truth, metric, thresholds=limits), compare(*certain, truth, metric)
    assert found == wanted
    assert found.floor != compare(logits, others, truth, metric).floor
    weights = generator.random(60)
    alone = score(logits, truth, metric, weights, limits[0])
    assert alone == pytest.approx(compare(logits, others, truth, metric, weights, limits).floor)


def given(logits: np.ndarray, thresholds: tuple[float, ...]) -> np.ndarray:
    """The labels [N, C] that a classifier with these thresholds gives."""

    class Config:
        is_multi_label = True

    Config.thresholds = list(thresholds)  # type: ignore[attr-defined]
    rows = [decide(row, Config)[1] for row in torch.from_numpy(logits).sigmoid().tolist()]
    return np.array([[label in row for label in range(logits.shape[1])] for row in rows])
