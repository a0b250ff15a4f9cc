"""Which compositions of a candidate are kept, and what they are compared with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tokensieve
from tokensieve.cascade.words_first import WordsFirst, WordsFirstSettings
from tokensieve.data import DataSplits, Document
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.words_first import engine_like
from tokensieve.training.compare import score
from tokensieve.tune import search as module
from tokensieve.tune.candidates import Candidate
from tokensieve.tune.compose import Composition
from tokensieve.tune.goal import Goal
from tokensieve.tune.search import Search
from tokensieve.words import WordsClassifier

LABELS = ("film", "law", "sport")
TRUTH = np.array([0] * 36 + [1] * 2 + [2] * 2)
DOCUMENTS = tuple(
    Document(f"the {LABELS[label]} was good" + " and bad" * (row % 3), LABELS[label], "made up", row + 1)
    for row, label in enumerate(TRUTH)
)


@pytest.fixture
def words() -> WordsClassifier:
    return WordsClassifier.fit([str(document.text) for document in DOCUMENTS], TRUTH, LABELS)


@pytest.fixture
def folder(save_classifier: Callable[..., Path], tmp_path: Path) -> Path:
    return save_classifier(tmp_path / "dense")


def answering(given: np.ndarray, seconds: float) -> Composition:
    """A composition without a bag of words that gives these classes."""
    logits = torch.nn.functional.one_hot(torch.from_numpy(given), len(LABELS)).float()
    return Composition(None, None, logits, None, seconds, {"encoder": 1.0})


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro"])
def test_compositions_are_kept_by_the_score_that_the_goal_is_about(
    folder: Path, words: WordsClassifier, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two are as accurate. One always gives the most frequent class, and takes half the time."""
    majority, fair = np.zeros(40, dtype=np.int64), TRUTH.copy()
    fair[:4] = 1
    made = [answering(majority, 1.0), answering(fair, 2.0)]
    scores = [score(own.logits.numpy(), TRUTH, metric) for own in made]
    assert (scores[0] == scores[1] == 0.9) if metric == "accuracy" else (scores[0] < 0.4 < 0.8 < scores[1])
    monkeypatch.setattr(module, "compositions", lambda *_: iter(made))
    dense, splits = tokensieve.load(folder, device="cpu"), DataSplits(DOCUMENTS, DOCUMENTS)
    found = Search(dense, splits, Goal(budget=0), words, metric).entries(Candidate("dense", folder))
    kept = {entry.point.score for entry in found if entry.words is None}
    assert kept == {scores[0]} if metric == "accuracy" else kept == set(scores)


def test_what_is_compared_with_has_no_bag_of_words(folder: Path, words: WordsClassifier) -> None:
    """Its score is that of the encoder alone, and so is its speed."""
    plain = tokensieve.load(folder, device="cpu")
    first = WordsFirst(words, WordsFirstSettings(0.5, 0.5, 0.5))
    dense: Any = Classifier(engine_like(plain.engine, plain.model, first))
    assert dense.engine.stages == ("words", "encoder")
    search = Search(dense, DataSplits(DOCUMENTS, DOCUMENTS), Goal(budget=0), words, "accuracy")
    assert search.dense.engine.stages == ("encoder",)
