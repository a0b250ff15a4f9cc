"""What cannot be is refused by one clear ValueError, before anything is trained."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.exceptions import NotFittedError

from tokensieve import ConfigError, DataError, TokensieveClassifier, TokensieveError
from unit.estimator.keyword_texts import Make, texts_and_labels

X, Y = texts_and_labels(6)
TEXTS: dict[str, tuple[Any, str]] = {
    "one string": ("a film", r"single text.*\[text\]"),
    "bytes": (b"a film", "single text"),
    "a number": (3, "X is int 3.*list"),
    "nothing": (None, "X is NoneType"),
    "a generator": ((text for text in X), "X is generator"),
    "a dictionary": ({text: 1 for text in X}, "X is dict"),
    "a set": (set(X), "X is set"),
    "a number among them": ([*X[:5], 3], r"X\[5\].*int 3"),
    "a missing one": ([*X[:5], None], r"X\[5\].*null"),
    "a NaN": (pd.Series([*X[:5], np.nan], dtype=object), r"X\[5\].*nan"),
    "an empty one": ([*X[:4], " ", X[5]], r"X\[4\].*empty"),
    "binary data": (["\0", *X[1:]], r"X\[0\].*binary"),
    "half a character": (["\ud800", *X[1:]], r"X\[0\].*UTF-8"),
    "a matrix": (np.zeros((6, 4)), r"shape \(6, 4\)"),
    "a column of numbers": (np.zeros((6, 1)), r"X\[0\].*float"),
    "a frame": (pd.DataFrame({"body": X, "author": X, "date": X}), r"DataFrame with the columns 'body', 'author'"),
    "a frame of labels": (pd.DataFrame({"body": X, "label": X}), r"columns 'body', 'label', and it is not clear"),
    "a sparse matrix": (scipy.sparse.eye(6), "sparse"),
    "a text among pairs": ([*zip(X[:5], X[:5], strict=True), X[5]], r"X\[5\].*pair"),
    "a pair with nothing": ([(X[0], None), *zip(X[1:], X[1:], strict=True)], r"X\[0\].*pair the value is null"),
    "three texts": ([(X[0],) * 3] * 6, r"X\[0\].*tuple"),
    "an array of no dimension": (np.array("film"), r"shape \(\)"),
}
LABELS: dict[str, tuple[Any, str]] = {
    "none": (None, "target y is None"),
    "one class": (["law"] * 6, "one class, 'law'"),
    "no label": ([], "no label"),
    "too few": (Y[:5], "6 documents and y 5 labels"),
    "too many": ([*Y, "law"], "6 documents and y 7 labels"),
    "a missing one": ([*Y[:5], None], "value 5 is NaN or missing"),
    "a NaN among strings": ([*Y[:5], np.nan], "value 5 is NaN or missing"),
    "a NaN": (np.array([0, 1, 0, 1, 0, np.nan]), "value 5 is NaN or missing"),
    "pandas' missing value": (pd.array([0, 1, 0, 1, 0, None], dtype="Int64"), "value 5 is NaN or missing"),
    "measurements": ([0.5, 1.5, 2.5, 3.5, 4.5, 5.5], "Unknown label type: continuous"),
    "lists of labels": ([["law"], ["film"], ["law", "film"], [], [], []], "MultiLabelBinarizer|inhomogeneous"),
    "several columns": ([[0, 1, 2]] * 6, "multiclass-multioutput"),
    "a matrix of other numbers": (np.array([[0, 2]] * 6), "matrix with 2.*0 and 1"),
    "a matrix with a NaN": (np.array([[0, 1]] * 5 + [[0, np.nan]]), "NaN|nan"),
    "a matrix of nothing": (np.zeros((6, 3), dtype=int), "holds no label"),
    "a matrix of too few rows": (np.eye(5, dtype=int), "6 documents and y 5 labels"),
    "columns of the same name": (
        pd.DataFrame(np.eye(6, 2, dtype=int), columns=["law", "law"]),
        "columns of the same|unique column names",
    ),
    "strings and numbers": (np.array(["a", 1, "a", 1, "a", 1], dtype=object), "y cannot be used"),
    "strings and numbers in a list": (["a", 1, "a", 1, "a", 1], "value 1 is int 1, value 0 is str 'a'; give one type"),
    "booleans and strings": ([True, "a"] * 3, "value 1 is str 'a', value 0 is bool True"),
    "dates": ([date(2020, 1, day) for day in (1, 2, 3)] * 2, "value 0 is date .* where a string, a whole number or a"),
    "numpy's dates": (
        np.array(["2020-01-01", "2020-01-02"] * 3, dtype="datetime64[D]"),
        "2020-01-01.*datetime64",
    ),
    "lists as text": (["['a', 'b']", "['a']"] * 3, r"X\[0\].*is a list written as text; .*MultiLabelBinarizer"),
    "one string": ("film", "y cannot be used"),
    "an empty label": (["", "law"] * 3, r"X\[0\].*missing label"),
}
PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "a ratio": ({"keep": 1.5}, r"prune\.schedule\.keep=1.5"),
    "a site": ({"settings": {"prune.site": "values"}}, r"prune\.site='values'"),
    "a layer that is not there": ({"settings": {"combine.layer": 9}}, r"combine\.layer=9"),
    "a setting": ({"settings": {"prune.sight": "keys"}}, r"did you mean prune\.site"),
    "settings that are none": ({"settings": "keys"}, "settings='keys': give a dictionary"),
    "settings without paths": ({"settings": {3: "keys"}}, "settings={3: 'keys'}: give a dictionary"),
    "settings of what is not": ({"settings": {"combine.tokens": 4}}, "combine.tokens: there is no combine"),
    "keep with nothing pruned": ({"preset": "dense", "keep": 0.7}, "there is no prune"),
    "a preset": ({"preset": "paper"}, "preset 'paper'"),
    "a preset with a config": ({"preset": "dense", "config": "x"}, "preset='dense'.*config"),
    "a config of a dictionary": ({"config": {"keep_ratio": 0.5}}, "config=.*ReductionConfig"),
    "a recipe of a dictionary": ({"recipe": {"epochs": 1}}, "recipe=.*Recipe"),
    "no epoch": ({"epochs": 0}, "epochs=0"),
    "a rate": ({"learning_rate": -1}, "learning_rate=-1"),
    "a length over the position table": ({"max_length": 65}, "max_length=65"),
    "weights of classes": ({"class_weight": {"law": 2}}, "class_weight=.*balanced"),
    "a share": ({"validation_fraction": 0.9}, "validation_fraction is 0.9"),
    "a share of text": ({"validation_fraction": "some"}, "validation_fraction is 'some'"),
    "a seed": ({"random_state": -1}, "seed=-1"),
    "a seed of text": ({"random_state": "x"}, "seed='x'"),
    "a device": ({"device": "gpu"}, "device='gpu'"),
    "a model": ({"model": 3}, "model=3"),
}


@pytest.fixture
def refused(make: Make, monkeypatch: pytest.MonkeyPatch) -> TokensieveClassifier:
    """An estimator of which no training may start."""

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing may be trained here")

    monkeypatch.setattr("tokensieve.training.stages.fine_tune.run_trainer", fail)
    return make()


@pytest.mark.parametrize("name", TEXTS)
def test_texts(refused: TokensieveClassifier, name: str) -> None:
    texts, message = TEXTS[name]
    with pytest.raises(DataError, match=message):
        refused.fit(texts, Y)


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "a generator"])
def test_texts_to_predict(fitted: TokensieveClassifier, name: str) -> None:
    texts, message = TEXTS[name]
    with pytest.raises(DataError, match=message):
        fitted.predict(texts)


@pytest.mark.parametrize("name", LABELS)
def test_labels(refused: TokensieveClassifier, name: str) -> None:
    labels, message = LABELS[name]
    with pytest.raises(DataError, match=message) as caught:
        refused.fit(X, labels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(refused: TokensieveClassifier, name: str) -> None:
    parameters, message = PARAMETERS[name]
    with pytest.raises(ConfigError, match=message):
        refused.set_params(**parameters).fit(X, Y)


def test_a_model_that_is_not_there(refused: TokensieveClassifier) -> None:
    with pytest.raises(TokensieveError, match="absent"):
        refused.set_params(model="absent").fit(X, Y)


def test_unknown_parameters(make: Make) -> None:
    with pytest.raises(TypeError, match="kep_ratio"):
        TokensieveClassifier(kep_ratio=0.5)
    with pytest.raises(ValueError, match="kep_ratio"):
        make().set_params(kep_ratio=0.5)


def test_documents_that_cannot_be_split(refused: TokensieveClassifier) -> None:
    with pytest.raises(DataError, match="validation_fraction=0"):
        refused.set_params(validation_fraction=0.2).fit(X[:2], Y[:2])


def test_before_fit(refused: TokensieveClassifier, tmp_path: Any) -> None:
    for call in (refused.predict, refused.predict_proba, lambda texts: refused.score(texts, Y)):
        with pytest.raises(NotFittedError):
            call(X)
    with pytest.raises(NotFittedError):
        refused.save(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_fit_that_fails_leaves_nothing_half_done(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    estimator = make().fit(X, Y)
    before = estimator.predict_proba(X)
    with pytest.raises(DataError, match="6 documents and y 5 labels"):
        estimator.fit(X, Y[:5])
    with pytest.raises(TokensieveError, match="training diverged"):
        estimator.set_params(learning_rate=1e30, epochs=3).fit(X, Y)
    np.testing.assert_array_equal(estimator.predict_proba(X), before)
    assert list(tmp_path.iterdir()) == []
