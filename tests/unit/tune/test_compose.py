"""Thresholds composed from each stage's answers come to what the classifier answers with these thresholds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tokensieve
from tokensieve.cascade.defer import Defer
from tokensieve.cascade.words_first import WordsFirst
from tokensieve.data.documents import Document
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.words_first import engine_of
from tokensieve.tune.compose import ALLOWED, StageAnswers, ask_stages, ask_words, compositions
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
    answers = StageAnswers([2, 3, 3], logits, 1.0, [1.0, 4.0], [rule], False)
    costs = {one.defer_below: one for one in compositions(answers, None, torch.tensor([0, 1, 1]), KIND)}
    assert costs[0.9].seconds == pytest.approx(1 + 4 * 6 / 8)
    assert costs[0.9].shares == pytest.approx({"encoder": 1 / 3, "second encoder": 2 / 3})
    assert costs[0.0].seconds == pytest.approx(1)
    assert costs[0.9].logits.argmax(1).tolist() == [0, 1, 1]


def test_labels_with_thresholds_get_new_ones(words: WordsClassifier) -> None:
    truth = torch.tensor([[1, 0], [1, 1], [0, 0], [0, 1]])
    answers = StageAnswers([4] * 4, [torch.tensor([[2.0, -1], [1, 3], [-2, -2], [-1, 0.5]])], 1.0, [1.0], [], True)
    say = ask_words(words, DOCUMENTS[:4])
    pairs = type(say)(say.logits[:, :2], say.seconds)
    for one in compositions(answers, pairs, truth, "multi_label_classification"):
        assert one.words is not None
        assert one.words.thresholds is not None
        assert len(one.words.thresholds) == 2
