"""y as a matrix of 0 and 1: any number of labels a document; and X of pairs of texts."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.metrics import f1_score
from sklearn.model_selection import cross_val_score

import tokensieve
from tokensieve import InputError, TokensieveClassifier
from unit.estimator.keyword_texts import LABELS, LEARNS, Make, texts_and_labels

ONE, FIRST = texts_and_labels(48)
OTHER, _ = texts_and_labels(48, seed=3)
X = [
    f"{one} . {other}" if number % 2 else one
    for number, (one, other) in enumerate(zip(ONE, OTHER[5:] + OTHER, strict=False))
]
Y = np.array([[int(label in text.split()) for label in LABELS] for text in X])


@pytest.fixture(scope="module")
def tagger(make: Make) -> TokensieveClassifier:
    return make(**LEARNS).fit(X, Y)


def test_it_learns(tagger: TokensieveClassifier) -> None:
    assert len({tuple(row) for row in Y.tolist()}) > 3, "some documents have two labels"
    assert f1_score(Y, tagger.predict(X), average="micro") > 0.9
    assert tagger.score(X, Y) == pytest.approx((tagger.predict(X) == Y).all(axis=1).mean())


def test_predictions_are_a_matrix(tagger: TokensieveClassifier) -> None:
    predicted, probabilities = tagger.predict(X), tagger.predict_proba(X)
    assert predicted.shape == probabilities.shape == (48, 3)
    assert predicted.dtype == np.int64
    np.testing.assert_array_equal(predicted, probabilities >= 0.5)
    np.testing.assert_array_equal(tagger.classes_, [0, 1, 2])
    assert not np.allclose(probabilities.sum(axis=1), 1)
    assert tagger.predict([]).shape == tagger.predict_proba([]).shape == (0, 3)


@pytest.mark.parametrize(
    "form",
    [np.ndarray.tolist, lambda y: y.astype(bool), lambda y: y.astype(float), scipy.sparse.csr_matrix],
    ids=["lists", "booleans", "floats", "sparse"],
)
def test_forms_of_the_matrix(make: Make, form: Any) -> None:
    expected = make().fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(make().fit(X, form(Y)).predict_proba(X), expected)


def test_names_of_columns_become_labels(make: Make, tmp_path: Path) -> None:
    estimator = make().fit(X, pd.DataFrame(Y, columns=["show", "court", "game"]))
    np.testing.assert_array_equal(estimator.classes_, ["show", "court", "game"])
    estimator.save(tmp_path / "out")
    classifier = tokensieve.load(tmp_path / "out", device="cpu")
    assert set(classifier.labels) == {"show", "court", "game"}
    court = classifier.predict_proba(X)[:, classifier.labels.index("court")]
    np.testing.assert_array_equal(estimator.predict_proba(X)[:, 1], court)


def test_a_label_that_no_document_has(make: Make, tmp_path: Path) -> None:
    padded = np.insert(Y, 1, 0, axis=1)
    with pytest.warns(UserWarning, match="no document has the labels '1'"):
        estimator = make().fit(X, padded)
    np.testing.assert_array_equal(np.delete(estimator.predict_proba(X), 1, axis=1), make().fit(X, Y).predict_proba(X))
    assert not estimator.predict_proba(X)[:, 1].any()
    assert not estimator.predict(X)[:, 1].any()
    estimator.save(tmp_path / "out")
    np.testing.assert_array_equal(
        TokensieveClassifier.load(tmp_path / "out").predict_proba(X), estimator.predict_proba(X)
    )


def test_thresholds_of_validation_are_used(make: Make) -> None:
    estimator = make(validation_fraction=0.3).fit(X, Y)
    config = estimator.classifier_.model.config
    assert config.thresholds is not None
    np.testing.assert_array_equal(estimator.predict(X), estimator.predict_proba(X) >= np.array(config.thresholds))


def test_a_saved_one_is_the_same(tagger: TokensieveClassifier, tmp_path: Path) -> None:
    tagger.save(tmp_path / "out")
    loaded = TokensieveClassifier.load(tmp_path / "out", device="cpu")
    np.testing.assert_array_equal(loaded.predict_proba(X), tagger.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict(X), tagger.predict(X))
    np.testing.assert_array_equal(loaded.classes_, tagger.classes_)


def test_cross_validation(make: Make) -> None:
    scores = cross_val_score(make(epochs=2), X, Y, cv=2, scoring="f1_micro", error_score="raise")
    assert scores.shape == (2,)


PAIRS = list(zip(ONE, OTHER, strict=True))


@pytest.mark.parametrize(
    "form",
    [
        list,
        np.array,
        lambda pairs: [list(pair) for pair in pairs],
        lambda pairs: pd.DataFrame(pairs, columns=["a", "b"]),
    ],
    ids=["tuples", "array", "lists", "frame"],
)
def test_pairs_of_texts(make: Make, form: Any) -> None:
    estimator = make(max_length=32).fit(PAIRS, FIRST)
    expected = estimator.classifier_.predict_proba(PAIRS)
    np.testing.assert_array_equal(estimator.predict_proba(form(PAIRS)), expected)
    np.testing.assert_array_equal(make(max_length=32).fit(form(PAIRS), FIRST).predict_proba(PAIRS), expected)
    swapped = [(second, first) for first, second in PAIRS]
    assert not np.allclose(estimator.predict_proba(swapped), expected)
    with pytest.raises(InputError, match="trained on pairs of texts"):
        estimator.predict(ONE)
