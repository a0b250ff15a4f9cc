"""fit and predict: the model is training's own, the classes are y's own, and nothing else is changed."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import tokensieve
from flat import reduction, with_flat
from tokensieve import Recipe, ReductionConfig, TokensieveClassifier
from tokensieve.data import DataSplits, Document
from tokensieve.data.sampling import carve_validation
from tokensieve.training.train import train
from unit.estimator.keyword_texts import FAST, LEARNS, Make, texts_and_labels

X, Y = texts_and_labels(24)
KINDS: dict[str, Any] = {
    "strings": (Y, ["film", "law", "team"]),
    "array of strings": (np.array(Y), ["film", "law", "team"]),
    "array of objects": (np.array(Y, dtype=object), ["film", "law", "team"]),
    "series": (pd.Series(Y, index=range(100, 124)), ["film", "law", "team"]),
    "categories": (pd.Series(Y, dtype="category"), ["film", "law", "team"]),
    "integers": ([7, -1, 10] * 8, [-1, 7, 10]),
    "strings of digits": (["9", "10", "100"] * 8, ["10", "100", "9"]),
    "array of integers": (np.array([2, 0, 1] * 8, dtype=np.int8), [0, 1, 2]),
    "whole floats": ([2.0, 10.0, -1.0] * 8, [-1.0, 2.0, 10.0]),
    "booleans": ([True, False] * 12, [False, True]),
    "array of booleans": (np.array([True, False] * 12), [False, True]),
}

COMBINED = {"combine.layer": 3, "combine.tokens": 2}


def test_it_learns(fitted: TokensieveClassifier) -> None:
    texts, labels = texts_and_labels(30, seed=1)
    assert fitted.score(texts, labels) > 0.9
    assert fitted.predict(texts).tolist()[:3] == ["film", "law", "team"]


def test_the_model_is_the_one_that_train_makes(make: Make, tiny_bert_dir: Path, tmp_path: Path) -> None:
    estimator = make(settings=COMBINED, validation_fraction=0.25, random_state=5).fit(X, Y)
    documents = tuple(Document(text, label, "elsewhere", 0) for text, label in zip(X, Y, strict=True))
    recipe = Recipe(learning_rate=3e-3, epochs=1, batch_size=8, max_length=16, seed=5)
    splits = DataSplits(*carve_validation(documents, 0.25, 5))
    train(tiny_bert_dir, reduction(combine_layer=3, combination_tokens=2), splits, tmp_path / "out", recipe)
    expected = tokensieve.load(tmp_path / "out", device="cpu").model.state_dict()
    found = estimator.classifier_.model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_preset_of_two_stages(make: Make) -> None:
    """Dense first, then reduced; nothing but the estimator is left of them."""
    estimator = make(**LEARNS | {"preset": "balanced"}).fit(*texts_and_labels(60))
    assert estimator.record_["base"] == "classifier.dense"
    assert estimator.score(*texts_and_labels(30, seed=1)) > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_classes_are_of_ys_type(make: Make, kind: str) -> None:
    labels, classes = KINDS[kind]
    estimator = make().fit(X, labels)
    np.testing.assert_array_equal(estimator.classes_, np.array(classes))
    assert estimator.classes_.dtype == np.asarray(labels).dtype
    assert estimator.predict(X).dtype == estimator.classes_.dtype
    assert set(estimator.predict(X).tolist()) <= set(classes)


BOOLEANS: dict[str, Any] = {
    "list": [True, False] * 12,
    "array of objects": np.array([True, False] * 12, dtype=object),
    "series": pd.Series([True, False] * 12),
    "series of objects": pd.Series([True, False] * 12, dtype=object),
    "nullable series": pd.Series([True, False] * 12, dtype="boolean"),
    "categories": pd.Categorical([True, False] * 12),
}


@pytest.mark.parametrize("kind", BOOLEANS)
def test_booleans_are_true_and_false(make: Make, kind: str) -> None:
    """As in JSON and Parquet; and they stay booleans for scikit-learn."""
    estimator = make().fit(X, BOOLEANS[kind])
    assert set(estimator.classifier_.labels) == {"true", "false"}
    assert estimator.classes_.tolist() == [False, True]
    assert estimator.predict(X).dtype == bool


@pytest.mark.parametrize("labels", [pd.Series([1, 0] * 12, dtype="Int64"), np.array([1.0, 0.0] * 12)])
def test_numbers_are_whole_numbers(make: Make, labels: Any) -> None:
    assert set(make().fit(X, labels).classifier_.labels) == {"1", "0"}


@pytest.mark.parametrize("kind", ["strings of digits", "whole floats"])
def test_columns_stand_in_the_order_of_classes(make: Make, kind: str) -> None:
    """Training orders class ids by other rules than numpy sorts by."""
    estimator = make(**LEARNS).fit(X, KINDS[kind][0])
    found = estimator.classifier_
    names = {value: str(value).removesuffix(".0") for value in estimator.classes_}
    assert (list(found.labels) != list(names.values())) == (kind == "strings of digits")
    probabilities = estimator.predict_proba(X)
    for column, name in enumerate(names.values()):
        np.testing.assert_array_equal(probabilities[:, column], found.predict_proba(X)[:, found.labels.index(name)])
    assert [names[value] for value in estimator.predict(X)] == found.predict(X)
    assert len(set(estimator.predict(X))) == 3


def test_probabilities(fitted: TokensieveClassifier) -> None:
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (24, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(fitted.classes_[probabilities.argmax(axis=1)], fitted.predict(X))
    assert fitted.predict_proba([]).shape == (0, 3)
    assert fitted.predict([]).shape == (0,)


@pytest.mark.parametrize(
    "form",
    [
        tuple,
        np.array,
        lambda texts: np.array(texts, dtype=object),
        lambda texts: np.array(texts).reshape(-1, 1),
        lambda texts: pd.Series(texts, index=range(7, 31)),
        lambda texts: pd.DataFrame({"text": texts}),
    ],
    ids=["tuple", "array", "objects", "column", "series", "frame"],
)
def test_forms_of_texts(fitted: TokensieveClassifier, form: Any) -> None:
    np.testing.assert_array_equal(fitted.predict_proba(form(X)), fitted.predict_proba(X))


def test_a_second_fit_is_the_same(make: Make) -> None:
    estimator = make(keep=0.5)
    first = estimator.fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(estimator.fit(X, Y).predict_proba(X), first)
    other = make(keep=0.5, random_state=1).fit(X, Y).predict_proba(X)
    assert not np.array_equal(other, first)


def test_random_states(make: Make) -> None:
    """None is the recipe's seed; a RandomState gives another one each time; all that seeds is recorded."""
    seeds = [np.int64(3), np.random.RandomState(0), None]
    estimators = [make(random_state=seed, recipe=Recipe(seed=9)) for seed in seeds]
    assert [estimators[0].fit(X, Y).record_["recipe"]["seed"], estimators[2].fit(X, Y).record_["recipe"]["seed"]] == [
        3,
        9,
    ]
    drawn = [estimators[1].fit(X, Y).record_["recipe"]["seed"] for _ in range(2)]
    assert drawn[0] != drawn[1]


def test_fit_leaves_parameters_and_generators_alone(make: Make) -> None:
    estimator = make(config=reduction(keep_ratio=0.5), recipe=Recipe(epochs=1), keep=np.float64(0.7))
    parameters = estimator.get_params()
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    estimator.fit(X, Y)
    assert all(estimator.get_params()[name] is value for name, value in parameters.items())
    assert random.getstate() == before[0]
    assert np.array_equal(np.random.get_state()[1], before[1][1])
    assert torch.equal(torch.get_rng_state(), before[2])


def test_fit_says_nothing(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    make(validation_fraction=0.25).fit(X, Y).predict(X)
    assert capfd.readouterr() == ("", "")
    make(verbose=True).fit(X, Y)
    out, err = capfd.readouterr()
    assert not out
    assert "loss" in err


@pytest.mark.parametrize("pair", [("law", " law"), ("law", "law\n"), ("law", "Law")])
def test_classes_that_look_alike_stay_and_are_warned_of(make: Make, pair: tuple[str, str]) -> None:
    with pytest.warns(UserWarning, match="y: different labels that look alike, each a class of its own"):
        estimator = make().fit(X, [*pair, "film"] * 8)
    assert set(estimator.classes_) == {*pair, "film"}
    assert set(estimator.classifier_.labels) == {*pair, "film"}


def test_a_class_without_a_validation_document_is_warned_of(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", logger="tokensieve"):
        make(validation_fraction=0.2).fit([*X, "the one of its kind"], [*Y, "rare"])
    assert "no validation document has the label 'rare'" in caplog.text


def test_without_validation_all_documents_are_trained_on(make: Make) -> None:
    record = make(epochs=2).fit(X, Y).record_
    assert record["documents"] == {"train": 24, "validation": 0}
    assert record["best"] is None


def test_validation_documents_are_kept_out_and_choose_the_epoch(make: Make) -> None:
    record = make(epochs=2, validation_fraction=0.25, recipe=Recipe(select="accuracy")).fit(X, Y).record_
    assert record["documents"]["validation"] >= 6
    assert sum(record["documents"].values()) == 24
    assert record["best"] in record["history"]


def test_two_texts_a_class_are_enough_for_the_default(make: Make) -> None:
    record = make(validation_fraction=0.2).fit(X[:6], Y[:6]).record_
    assert record["documents"] == {"train": 3, "validation": 3}


def test_settings_go_before_config_preset_and_recipe(make: Make) -> None:
    recipe = Recipe(learning_rate=1e-3, epochs=1, weight_decay=0.1, class_weights="balanced", max_length=12)
    config = reduction(keep_ratio=0.5, min_length=4, combine_layer=2)
    estimator = make(config=config, recipe=recipe, keep=0.6, learning_rate=None, max_length=None, batch_size=4)
    record = estimator.fit(X, Y).record_
    assert record["settings"] == reduction(keep_ratio=0.6, min_length=4, combine_layer=2).to_dict()
    changed = {"learning_rate": 1e-3, "weight_decay": 0.1, "class_weights": "balanced", "max_length": 12}
    assert record["recipe"] == Recipe().to_dict() | changed | {"epochs": 1, "batch_size": 4}
    preset = make(preset="paper-pfc-7", settings={"combine.tokens": 2}).fit(X, Y).record_["settings"]
    assert preset == with_flat(ReductionConfig.preset("paper-pfc-7"), combination_tokens=2).to_dict()


def test_class_weight_counts(make: Make) -> None:
    texts, labels = X[:2] + X[2:24:3], Y[:2] + Y[2:24:3]
    plain, balanced = (make(class_weight=weight).fit(texts, labels) for weight in (None, "balanced"))
    assert balanced.record_["recipe"]["class_weights"] == "balanced"
    rare = [0, 1]
    assert balanced.predict_proba(X)[:, rare].mean() > plain.predict_proba(X)[:, rare].mean()


def test_numbers_of_numpy_are_numbers(make: Make) -> None:
    """As a search over np.arange or scipy's distributions sets them."""
    settings = {"prune.select": np.str_("top-share"), "min_length": np.int64(3)}
    estimator = make(epochs=np.int64(1), keep=np.float32(0.5), settings=settings, batch_size=np.int32(4))
    record = estimator.fit(X, Y).record_["settings"]
    assert record == reduction(pruning="ratio", keep_ratio=0.5, min_length=3).to_dict()


def test_the_embedded_model_is_the_default(default_model_dir: Path) -> None:
    estimator = TokensieveClassifier(**FAST | {"max_length": 8}).fit(X[:4], Y[:2] * 2)
    assert estimator.classifier_.model.config.hidden_size == 384
    assert estimator.predict(X[:4]).shape == (4,)
