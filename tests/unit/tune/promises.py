"""What a tuned classifier answers, beside what a point of its frontier promises of the same documents."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tokensieve.cascade.fit_words import cross_fitted
from tokensieve.data import DataSplits
from tokensieve.data.weights import weights_of
from tokensieve.metrics import accuracy_and_f1, multi_label_scores
from tokensieve.model.probabilities import class_probabilities
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.frontier import Point
from tokensieve.runtime.results import given_labels
from tokensieve.runtime.words_first import WORDS, engine_like
from tokensieve.training.fits.bag import targets_of
from tokensieve.tune.compose import ask_stages, ask_words, compositions


def score_of(given: Any, splits: DataSplits, metric: str) -> float:
    """The score of the labels [N, C] that the validation documents are given, by scikit-learn."""
    truth, weights = targets_of(splits, splits.validation), weights_of(splits.validation)
    if splits.multi_label:
        return multi_label_scores(truth, np.asarray(given).astype(int), weights)[metric]
    return accuracy_and_f1(truth, np.asarray(given).argmax(1), weights)[metric]


def given_by(classifier: Classifier, splits: DataSplits) -> tuple[torch.Tensor, list[str]]:
    """The labels [N, C] that a classifier gives the validation documents, and the stage that answered each."""
    results = [result for _, result in classifier.engine.stream(splits.validation)]
    return given_labels(results, len(splits.label_names)), [result.stage for result in results]


def check_promise(classifier: Classifier, point: Point, splits: DataSplits, metric: str = "accuracy") -> None:
    """The classifier at a point answers with the shares and the score that the point has.

    Behind a bag of words, deferred documents were scored by weights that were fitted without them. So what is not
    deferred is compared document by document, and the score is made again with these weights.
    """
    given, stages = given_by(classifier, splits)
    assert {name: stages.count(name) / len(stages) for name in classifier.engine.stages} == pytest.approx(point.shares)
    by_words = torch.tensor([stage == WORDS for stage in stages])
    if point.words is None or by_words.all():
        assert score_of(given, splits, metric) == pytest.approx(point.score)
        return
    logits = _cross_fitted_logits(classifier, point, splits, by_words)
    promised = _given(logits, point.words.thresholds, splits.multi_label)
    assert torch.equal(promised[by_words], given[by_words])
    assert score_of(promised, splits, metric) == pytest.approx(point.score)


def _cross_fitted_logits(
    classifier: Classifier, point: Point, splits: DataSplits, by_words: torch.Tensor
) -> torch.Tensor:
    """Calibrated logits [N, C] as `tune` composes them."""
    first, weights = classifier.engine.words_first, weights_of(splits.validation)
    assert first is not None
    kind, truth = first.problem_type, torch.from_numpy(targets_of(splits, splits.validation))
    alone = Classifier(engine_like(classifier.engine, classifier.model, None))
    stages = compositions(ask_stages(alone, splits.validation), None, truth, kind)
    encoder = next(made.logits for made in stages if made.defer_below == point.defer_below)
    words = ask_words(first.words, splits.validation).logits
    counts = None if weights is None else torch.from_numpy(weights)
    combined = cross_fitted(torch.stack([words, encoder]).double(), truth, kind, counts)
    return torch.where(by_words[:, None], words.double(), combined).float()


def _given(logits: torch.Tensor, thresholds: Sequence[float] | None, multi_label: bool) -> torch.Tensor:
    if not multi_label:
        return torch.nn.functional.one_hot(logits.argmax(1), logits.shape[1]).float()
    limits = torch.tensor(thresholds or [0.5] * logits.shape[1], dtype=torch.float64)
    return (class_probabilities(logits, "multi_label_classification").double() >= limits).float()
