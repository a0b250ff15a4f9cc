"""Weights of texts: 0 is as if a text was not there, 2 as if it was there twice."""

from typing import Any

import numpy as np
import pytest

from tokensieve.errors import DataError
from tokensieve.words import WordsClassifier, WordsSettings
from tokensieve.words import terms as words_terms
from tokensieve.words.static import StaticClassifier
from tokensieve.words.terms import fit_terms
from unit.words.bags import LABELS, labelled_texts, matrix_of

TEXTS, IDS = labelled_texts(60)
IDS = [own if number % 9 else (own + 1) % 3 for number, own in enumerate(IDS)]
UNSEEN, OTHERS = labelled_texts(30, seed=1)
OTHERS = [own if number % 4 else (own + 1) % 3 for number, own in enumerate(OTHERS)]
COUNTS = np.array([2, 0, 1, 1, 3, 0] * 10)
ROWS = np.repeat(np.arange(60), COUNTS)
JUDGED = np.repeat(np.arange(30), COUNTS[:30])


@pytest.mark.parametrize("kind", ["single", "multi", "one label", "balanced", "pairs"])
def test_a_bag_of_words_counts_texts(kind: str) -> None:
    """Terms, their weights, the regression, the choice of settings, and the temperature."""
    texts: Any = np.array(TEXTS, dtype=object)
    unseen: Any = np.array(UNSEEN, dtype=object)
    targets, others, labels = np.array(IDS), np.array(OTHERS), LABELS
    if kind == "multi":
        targets, others = matrix_of(targets), matrix_of(others)
    if kind == "one label":
        targets, others, labels = targets[:, None] == 0, others[:, None] == 0, LABELS[:1]
    options = {"class_weight": [1.0, 3.0, 0.5]} if kind == "balanced" else {}

    def given(own: Any) -> list[Any]:
        return [(text, text[::-1]) for text in own] if kind == "pairs" else own.tolist()

    found = WordsClassifier.fit(
        given(texts),
        targets,
        labels,
        validation=(given(unseen), others),
        sample_weight=COUNTS,
        validation_weight=COUNTS[:30],
        **options,
    )
    wanted = WordsClassifier.fit(
        given(texts[ROWS]), targets[ROWS], labels, validation=(given(unseen[JUDGED]), others[JUDGED]), **options
    )
    assert found.weights.terms == wanted.weights.terms
    assert found.settings == wanted.settings
    np.testing.assert_allclose(np.concatenate(found.weights.idf), np.concatenate(wanted.weights.idf), rtol=1e-6)
    np.testing.assert_allclose(found.logits(given(unseen)), wanted.logits(given(unseen)), atol=2e-3)
    assert found.temperature == pytest.approx(wanted.temperature, rel=1e-3)


def test_the_most_frequent_terms_are_those_of_the_most_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where texts are read in parts, and where a term is in texts of weight 0 alone."""
    texts, weights = ["aa bb", "aa cc", "dd dd", "cc"], np.array([0.5, 0.5, 3.0, 1.0])
    for documents in (words_terms.CHUNK_DOCUMENTS, 2):
        monkeypatch.setattr(words_terms, "CHUNK_DOCUMENTS", documents)
        assert fit_terms(texts, 1, 2, weights)[0].terms == [["cc", "dd"]]
        assert fit_terms(texts, 1, 2)[0].terms == [["aa", "cc"]]
    words = WordsClassifier.fit([*texts, "ee"], [0, 1, 0, 1, 1], LABELS[:2], sample_weight=[*weights, 0.0])
    assert words.weights.terms == [["aa", "bb", "cc", "dd"]]


def test_only_the_first_texts_are_searched_in_and_all_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokensieve.words.classifier.SEARCHED", 20)
    settings = WordsSettings(ngrams=1, inverse_penalty=10.0)
    found = WordsClassifier.fit(TEXTS, IDS, LABELS, sample_weight=COUNTS, settings=settings)
    wanted = WordsClassifier.fit([TEXTS[row] for row in ROWS], np.array(IDS)[ROWS], LABELS, settings=settings)
    np.testing.assert_allclose(found.logits(UNSEEN), wanted.logits(UNSEEN), atol=2e-3)


@pytest.mark.parametrize("several", [False, True])
def test_mean_vectors_count(several: bool) -> None:
    generator = np.random.default_rng(0)
    vectors, judged = (generator.normal(size=(number, 5)).astype(np.float32) for number in (60, 30))
    targets, others = np.array(IDS), np.array(OTHERS)
    if several:
        targets, others = matrix_of(targets), matrix_of(others)
    found = StaticClassifier.fit(
        vectors,
        targets,
        3,
        validation=(judged, others),
        sample_weight=COUNTS,
        validation_weight=COUNTS[:30],
    )
    wanted = StaticClassifier.fit(vectors[ROWS], targets[ROWS], 3, validation=(judged[JUDGED], others[JUDGED]))
    assert found.inverse_penalty == wanted.inverse_penalty
    np.testing.assert_allclose(found.scaler.mean_, wanted.scaler.mean_, atol=1e-5)
    np.testing.assert_allclose(found.logits(judged), wanted.logits(judged), atol=1e-2)


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ({"sample_weight": [1.0, -1.0]}, r"sample_weight\[1\] is -1.0"),
        ({"sample_weight": [float("nan"), 1.0]}, r"sample_weight\[0\] is nan"),
        ({"sample_weight": [0.0, 0.0]}, "sample_weight is 0 for all 2 texts"),
        ({"validation_weight": [1.0, 1.0]}, r"validation_weight has the shape \[2\]"),
        ({"class_weight": [1.0]}, r"class_weight has the shape \[1\]: give one for each of 2"),
    ],
)
def test_weights_that_are_none(weights: dict[str, Any], text: str) -> None:
    with pytest.raises(DataError, match=text):
        WordsClassifier.fit(["film", "law"], [0, 1], ("a", "b"), validation=(["film"], [0]), **weights)


def test_weights_of_classes_are_for_one_label() -> None:
    with pytest.raises(DataError, match="none where a document has any number of labels"):
        WordsClassifier.fit(["film", "law"], [[0, 1], [1, 0]], ("a", "b"), class_weight=[1.0, 2.0])
