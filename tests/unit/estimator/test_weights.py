"""sample_weight: what is refused, what it counts for, and those who pass it on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.ensemble import AdaBoostClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.utils.validation import has_fit_parameter

from tokensieve import Recipe, TokensieveClassifier
from tokensieve.data import Document
from tokensieve.errors import DataError
from tokensieve.estimator.weights import read_weights, weighted
from unit.estimator.keyword_texts import LEARNS, Make, texts_and_labels

X, Y = texts_and_labels(24)


def same_weights(one: TokensieveClassifier, other: TokensieveClassifier) -> bool:
    found, expected = (each.classifier_.model.state_dict() for each in (one, other))
    return all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "equal",
    [[1] * 24, [0.25] * 24, np.full(24, 1 / 24), np.ones(24, dtype=bool), pd.Series([1.0] * 24, index=range(9, 33))],
    ids=["ones", "quarters", "sum of 1", "booleans", "series"],
)
def test_equal_weights_are_none(equal: Any) -> None:
    assert read_weights(equal, 24) is None


def test_counts_stay_and_shares_are_scaled() -> None:
    assert read_weights([0, 1, 2, 0, 5], 5).tolist() == [0, 1, 2, 0, 5]
    assert read_weights([2, 2], 2).tolist() == [2, 2]
    np.testing.assert_allclose(read_weights([0.0, 0.1, 0.3], 3), [0, 0.5, 1.5])
    np.testing.assert_allclose(read_weights([0.5, 1.5, 4], 3), [0.5, 1.5, 4])
    assert read_weights([0, 0.5, 0.5], 3).tolist() == [0, 1, 1]
    assert read_weights(np.array([1, 2], dtype=object), 2).tolist() == [1, 2]


@pytest.mark.parametrize("validation_fraction", [0.0, 0.25])
def test_weight_0_leaves_a_document_out(make: Make, validation_fraction: float) -> None:
    """Wherever it would count: the weights of the model are bit for bit the same."""
    weights = [1.0, 0.0, 2.0, 1.0] * 6
    kept = [row for row, weight in enumerate(weights) if weight]
    options: dict[str, Any] = {"preset": "paper-p", "class_weight": "balanced"}
    found = make(validation_fraction=validation_fraction, **options).fit(X, Y, sample_weight=weights)
    expected = make(validation_fraction=validation_fraction, **options)
    expected.fit([X[row] for row in kept], [Y[row] for row in kept], sample_weight=[weights[row] for row in kept])
    assert same_weights(found, expected)
    assert found.record_["data_digest"] == expected.record_["data_digest"]
    assert sum(found.record_["documents"].values()) == 18
    equal = make(validation_fraction=validation_fraction, **options)
    equal.fit([X[row] for row in kept], [Y[row] for row in kept])
    assert not same_weights(found, equal)
    assert found.record_["data_digest"] != equal.record_["data_digest"]


def test_weights_of_1_change_nothing(make: Make) -> None:
    found, expected = make().fit(X, Y, sample_weight=np.full(24, 0.1)), make().fit(X, Y)
    assert same_weights(found, expected)
    assert found.record_["data_digest"] == expected.record_["data_digest"]


def test_documents_that_weigh_more_win(make: Make) -> None:
    """Of texts that are the same, with labels that contradict each other."""
    texts, labels = ["good law"] * 24, ["film", "law"] * 12
    options: dict[str, Any] = {"epochs": 12, "recipe": Recipe(floors="none")}
    for winner in ("film", "law"):
        weights = [0.9 if label == winner else 0.1 for label in labels]
        probabilities = make(**options).fit(texts, labels, sample_weight=weights).predict_proba(["good law"])[0]
        assert probabilities[["film", "law"].index(winner)] > 0.75


def test_several_labels(make: Make) -> None:
    matrix = np.eye(3, dtype=int)[[0, 1, 2] * 8]
    matrix[::4, 0] = 1
    weights = np.array([3.0, 1.0, 0.0] * 8)
    estimator = make(validation_fraction=0.25, recipe=Recipe(class_weights="balanced"))
    with pytest.warns(UserWarning, match=r"no document of a weight above 0 has the labels '2': they are never given"):
        estimator.fit(X, matrix, sample_weight=weights)
    assert estimator.predict(X).shape == (24, 3)
    assert not estimator.predict(X)[:, 2].any()


def test_a_class_without_weight_is_never_given(make: Make) -> None:
    with pytest.warns(UserWarning, match="no document of a weight above 0 has the labels 'team'"):
        estimator = make().fit(X, Y, sample_weight=[float(label != "team") for label in Y])
    assert estimator.classes_.tolist() == ["film", "law", "team"]
    probabilities = estimator.predict_proba(X)
    assert not probabilities[:, 2].any()
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)


def test_two_stages(make: Make) -> None:
    """Dense and reduced: importance, a teacher, floors, calibration."""
    estimator = make(**LEARNS | {"preset": "balanced", "epochs": 2, "validation_fraction": 0.25})
    estimator.fit(X, Y, sample_weight=[1.0, 2.0, 0.5, 0.0] * 6)
    assert estimator.record_["base"] == "classifier.dense"
    assert estimator.record_["importance_r2"] is not None


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ([1.0] * 23, r"has the shape \[23\]: give a finite number of 0 or more for each of the 24 documents"),
        (np.ones((24, 1)), r"has the shape \[24, 1\]"),
        (1.0, r"has the shape \[\]"),
        ("balanced", r"has the shape \[\]"),
        ([[1.0], [1.0, 2.0]], "sample_weight cannot be used"),
        ([1.0] * 23 + [float("nan")], r"sample_weight\[23\] is nan: give"),
        ([float("inf")] + [1.0] * 23, r"sample_weight\[0\] is inf: give"),
        ([1] * 5 + [-2] + [1] * 18, r"sample_weight\[5\] is -2: give"),
        ([1] * 5 + ["much"] + [1] * 18, r"sample_weight\[5\] is str 'much': give"),
        ([1] * 5 + [None] + [1] * 18, r"sample_weight\[5\] is NoneType"),
        ([1j] * 24, r"sample_weight\[0\] is complex"),
        ([0] * 24, "sample_weight is zero for all 24 documents"),
        ([1, 0, 0] * 8, "above 0 for 8 of 24 documents, which have one class, 'film': give documents of at least two"),
    ],
)
def test_weights_that_cannot_be_used(weights: Any, text: str) -> None:
    """They are told before anything is trained."""
    with pytest.raises(DataError, match=text):
        TokensieveClassifier().fit(X, Y, sample_weight=weights)


def test_documents_without_any_label_are_no_classes() -> None:
    documents = [Document("a", (), "X", 0), Document("b", ("law",), "X", 1)]
    with pytest.raises(DataError, match="which have no label"):
        weighted(documents, [1, 0])
    assert weighted(documents, [0, 3]) == (Document("b", ("law",), "X", 1, weight=3.0),)


def test_weights_are_left_as_they_are(make: Make) -> None:
    weights = np.array([0.1, 0.3, 0.0] * 8)
    make(recipe=Recipe(floors="none")).fit(X[:], [*"ab"] * 12, sample_weight=weights)
    np.testing.assert_array_equal(weights, [0.1, 0.3, 0.0] * 8)


def test_boosting(make: Make) -> None:
    """AdaBoost gives weights whose sum is 1, and texts as a column."""
    column, labels = np.array(X, dtype=object)[:, None], np.array(Y)
    labels[:3] = labels[1:4]  # a few that are wrong, so that weights change
    assert has_fit_parameter(make(), "sample_weight")
    boosted = AdaBoostClassifier(make(**LEARNS), n_estimators=2, random_state=0).fit(column, labels)
    assert len(boosted.estimators_) == 2
    digests = {estimator.record_["data_digest"] for estimator in boosted.estimators_}
    assert len(digests) == 2
    assert boosted.score(column, Y) > 0.8


def test_stacking(make: Make) -> None:
    texts, labels = texts_and_labels(60)
    stacked = StackingClassifier([("ours", make(**LEARNS))], LogisticRegression(C=100), cv=2)
    stacked.fit(texts, labels, sample_weight=np.array([1.0, 2.0, 0.5] * 20))
    assert stacked.score(X, Y) > 0.8


def test_metadata_is_routed(make: Make) -> None:
    with config_context(enable_metadata_routing=True):
        estimator = make().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        weights = np.array([1.0, 2.0, 0.5] * 8)
        found = cross_validate(
            estimator, X, Y, cv=2, params={"sample_weight": weights}, return_estimator=True, error_score="raise"
        )
    assert all(estimator.record_["documents"]["train"] == 12 for estimator in found["estimator"])


def test_saved_and_loaded(make: Make, tmp_path: Path) -> None:
    estimator = make().fit(X, Y, sample_weight=[1.0, 2.0, 0.5] * 8)
    estimator.save(tmp_path / "saved")
    loaded = TokensieveClassifier.load(tmp_path / "saved", device="cpu")
    np.testing.assert_array_equal(loaded.predict_proba(X), estimator.predict_proba(X))
