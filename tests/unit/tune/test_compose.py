"""Thresholds composed from each stage's answers come to what the classifier answers with these thresholds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tokensieve
from tokensieve.cascade.defer import Defer
from tokensieve.cascade.fit_words import fit_words_first
from tokensieve.cascade.words_first import WordsFirst
from tokensieve.data.documents import Document
from tokensieve.model.probabilities import confidence
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.words_first import engine_of
from tokensieve.training.fits.calibration import best_thresholds
from tokensieve.tune.compose import ALLOWED, StageAnswers, WordsSay, ask_stages, ask_words, compositions
from tokensieve.words import WordsClassifier

KIND = "single_label_classification"
LABELS = ("film", "law", "sport")
TEXTS = [
    f"{head} {tail}"
    for head in ("the film was good .", "court and judge , the law", "goal", "the team and the player")
    for tail in ("", "of the price", "in a market " * 4, "and the film is not the law " * 3, "bad bad share")
]
DOCUMENTS = [Document(text.strip(), LABELS[row % 3], "made up", row) for row, text in enumerate(TEXTS)]
TRUTH = torch.tensor([row % 3 for row in range(len(TEXTS))])


@pytest.fixture(scope="module")
def words() -> WordsClassifier:
    texts = [f"{text} film" if row % 2 else text for row, text in enumerate(TEXTS)]
    return WordsClassifier.fit(texts, TRUTH.numpy(), LABELS)


@pytest.fixture
def cascade(save_classifier: Callable[..., Path], tmp_path: Path) -> Classifier:
    classifier = tokensieve.load(save_classifier(tmp_path / "cascade", reread=0.4), device="cpu")
    classifier.model.config.defer_below = 0.5
    return classifier


def test_each_composition_is_what_the_classifier_answers(cascade: Classifier) -> None:
    answers = ask_stages(cascade, DOCUMENTS)
    found = list(compositions(answers, None, TRUTH, KIND))
    assert len({one.defer_below for one in found}) == len(found) > 3
    assert 0.5 in [one.defer_below for one in found], "the model's own rule is among them"
    for one in found:
        cascade.model.config.defer_below = one.defer_below
        results = cascade.results(TEXTS)
        np.testing.assert_allclose(one.logits, [result.logits for result in results], atol=1e-5)
        shares = {name: [result.stage for result in results].count(name) / len(TEXTS) for name in cascade.engine.stages}
        assert one.shares == pytest.approx(shares)
        assert sum(one.shares.values()) == pytest.approx(1)


def test_a_bag_of_words_ahead(cascade: Classifier, words: WordsClassifier) -> None:
    found = list(compositions(ask_stages(cascade, DOCUMENTS), ask_words(words, DOCUMENTS), TRUTH, KIND))
    assert len(found) % len(ALLOWED) == 0
    engine: Any = cascade.engine
    seen = set()
    for one in found:
        assert one.words is not None
        cascade.model.config.defer_below = one.defer_below
        whole = Classifier(engine_of(cascade.model, engine.tokenizer, WordsFirst(words, one.words)))
        stages = [result.stage for result in whole.results(TEXTS)]
        assert one.shares == pytest.approx({name: stages.count(name) / len(TEXTS) for name in whole.engine.stages})
        seen.add(one.shares["words"])
    assert min(seen) < max(seen) == 1.0, "up to all"


def test_costs_are_of_the_tokens_that_each_stage_reads() -> None:
    """Two stages of 1 and 4 seconds; the last two of three documents are deferred, which have 3 of 4 tokens."""
    logits = [torch.tensor([[9.0, 0.0], [1.0, 0.0], [0.5, 0.0]]), torch.tensor([[0.0, 1.0]] * 3)]
    rule = Defer(0.9)
    answers = StageAnswers([2, 3, 3], logits, 1.0, [1.0, 4.0], [rule], None)
    costs = {one.defer_below: one for one in compositions(answers, None, torch.tensor([0, 1, 1]), KIND)}
    assert costs[0.9].seconds == pytest.approx(1 + 4 * 6 / 8)
    assert costs[0.9].shares == pytest.approx({"encoder": 1 / 3, "second encoder": 2 / 3})
    assert costs[0.0].seconds == pytest.approx(1)
    assert costs[0.9].logits.argmax(1).tolist() == [0, 1, 1]


SEVERAL = "multi_label_classification"


@pytest.fixture(scope="module")
def several() -> tuple[StageAnswers, WordsSay, torch.Tensor]:
    """Answers of two stages with two labels, which are given from other probabilities than 0.5; and what is true."""
    generator = torch.Generator().manual_seed(0)
    truth = (torch.rand(40, 2, generator=generator) < 0.4).long()
    logits, say = (2.0 * truth - 2.5 + torch.randn(40, 2, generator=generator) for _ in range(2))
    return StageAnswers([4] * 40, [2 * logits], 2.0, [1.0], [], [0.3, 0.6]), WordsSay(say, 0.1), truth


@pytest.mark.parametrize("weights", [None, torch.arange(40.0) % 4], ids=["no weights", "weights"])
def test_labels_with_thresholds_get_new_ones_of_the_whole(
    several: tuple[StageAnswers, WordsSay, torch.Tensor], weights: torch.Tensor | None
) -> None:
    answers, say, truth = several
    (alone,) = compositions(answers, None, truth, SEVERAL, weights)
    assert alone.thresholds == [0.3, 0.6], "the classifier's own"
    torch.testing.assert_close(alone.logits, answers.logits[0] / 2)
    whole = list(compositions(answers, say, truth, SEVERAL, weights))
    for one, allowed in zip(whole, ALLOWED, strict=True):
        assert one.words is not None
        fitted = fit_words_first(say.logits, alone.logits, truth, SEVERAL, allowed, weights)
        best = best_thresholds(one.logits.sigmoid(), truth.float(), weights)
        assert one.words == replace(fitted.settings, thresholds=best)
        assert one.thresholds == best
    assert {one.thresholds for one in whole} != {(0.5, 0.5)}
    plain = list(compositions(replace(answers, thresholds=None), say, truth, SEVERAL, weights))
    assert [one.words and one.words.thresholds for one in plain] == [one.thresholds for one in plain] == [None] * 7


def test_weights_count_in_what_is_fitted_and_not_in_costs(
    several: tuple[StageAnswers, WordsSay, torch.Tensor],
) -> None:
    answers, say, truth = several
    plain, weighted, ones = (
        list(compositions(answers, say, truth, SEVERAL, weights))
        for weights in (None, torch.arange(40.0) % 4, torch.ones(40))
    )
    assert all(one.words != other.words for one, other in zip(plain, weighted, strict=True))
    for one, other in zip(plain, ones, strict=True):
        assert one.shares == other.shares and one.seconds == other.seconds
    for one in weighted:
        assert one.words is not None
        deferred = float((confidence(say.logits, SEVERAL) < one.words.defer_below).double().mean())
        assert one.shares == pytest.approx({"words": 1 - deferred, "encoder": deferred})
        assert one.seconds == pytest.approx(0.1 + deferred)
