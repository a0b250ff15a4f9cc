"""Inside scikit-learn's own tools, as any other estimator."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import sklearn
import torch
from packaging.version import Version
from scipy.stats import randint, uniform
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from flat import reduction
from tokensieve import ConfigError, Recipe, TokensieveClassifier
from unit.estimator.keyword_texts import LEARNS, Make, texts_and_labels

X, Y = texts_and_labels(24)


def lower(texts: Any) -> list[str]:
    return [text.lower() for text in texts]


def test_clone_takes_parameters_and_nothing_fitted(fitted: TokensieveClassifier) -> None:
    copied = clone(fitted)
    assert copied.get_params() == fitted.get_params()
    assert not hasattr(copied, "classes_")
    assert is_classifier(copied)


def test_parameters_of_records_survive_cloning(make: Make) -> None:
    estimator = make(config=reduction(keep_ratio=0.5), recipe=Recipe(patience=1))
    assert clone(estimator).get_params() == estimator.get_params()


@pytest.mark.parametrize("workers", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_grid_search(make: Make, workers: int | None) -> None:
    """With two workers, estimators and scores travel between processes."""
    grid = {"keep": [0.3, 1.0], "config": [reduction(site="hidden")]}
    search = GridSearchCV(make(epochs=2), grid, cv=2, n_jobs=workers, error_score="raise").fit(X, Y)
    assert len(search.cv_results_["params"]) == 2
    assert search.best_estimator_.record_["settings"]["prune"]["schedule"]["keep"] == search.best_params_["keep"]
    assert search.predict(X).shape == (24,)
    np.testing.assert_array_equal(search.classes_, ["film", "law", "team"])


def test_random_search_over_distributions(make: Make) -> None:
    layers = [{"combine.layer": 2}, {"combine.layer": 3}]
    space = {"keep": uniform(0.5, 0.5), "settings": layers, "batch_size": randint(4, 9), "epochs": np.arange(1, 3)}
    search = RandomizedSearchCV(make(), space, n_iter=2, cv=2, random_state=0, error_score="raise").fit(X, Y)
    assert search.best_estimator_.classifier_.model.settings.before(4) + 1 in (2, 3)


def test_cross_validation(make: Make) -> None:
    """With whole numbers as classes."""
    texts, _ = texts_and_labels(48)
    labels = np.array([3, 1, 2] * 16)
    scores = cross_val_score(make(**LEARNS), np.array(texts), labels, cv=2, scoring="f1_macro", error_score="raise")
    assert scores.min() > 0.5
    probabilities = cross_val_predict(make(), texts, labels, cv=2, method="predict_proba")
    assert probabilities.shape == (48, 3)


def test_in_a_pipeline(make: Make) -> None:
    pipeline = make_pipeline(FunctionTransformer(lower), make(**LEARNS))
    pipeline.set_params(tokensieveclassifier__keep=0.95).fit([text.upper() for text in X], Y)
    assert pipeline[-1].record_["settings"]["prune"]["schedule"]["keep"] == 0.95
    assert pipeline.score([text.upper() for text in X], Y) > 0.8
    np.testing.assert_array_equal(pipeline.predict_proba(X), pipeline[-1].predict_proba(X))


METHODS = ["sigmoid", "isotonic"] + ["temperature"] * (Version(sklearn.__version__) >= Version("1.8"))


@pytest.mark.parametrize("method", METHODS)
def test_calibrated_after_fitting(fitted: TokensieveClassifier, method: str) -> None:
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted), method=method).fit(*texts_and_labels(30, seed=2))
    probabilities = calibrated.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert not np.allclose(probabilities, fitted.predict_proba(X))
    assert calibrated.score(X, Y) > 0.8


def test_calibrated_by_cross_validation(make: Make) -> None:
    calibrated = CalibratedClassifierCV(make(**LEARNS), cv=2).fit(X, Y)
    assert len(calibrated.calibrated_classifiers_) == 2
    np.testing.assert_array_equal(calibrated.classes_, ["film", "law", "team"])
    assert calibrated.predict_proba(X).shape == (24, 3)


def test_voting_beside_a_classifier_of_words(make: Make) -> None:
    words = make_pipeline(TfidfVectorizer(), LogisticRegression())
    voting = VotingClassifier([("ours", make(**LEARNS)), ("words", words)], voting="soft").fit(X, Y)
    np.testing.assert_array_equal(voting.predict(X[:3]), ["film", "law", "team"])


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda estimator: pickle.loads(pickle.dumps(estimator))])
def test_copies_of_a_fitted_one_predict_the_same(fitted: TokensieveClassifier, copier: Any) -> None:
    copied = copier(fitted)
    np.testing.assert_array_equal(copied.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(copied.classes_, fitted.classes_)
    assert copied.classifier_.model is not fitted.classifier_.model


def test_a_pickle_moves_to_a_device_that_is_here(fitted: TokensieveClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickled where there was a GPU, read where there is none."""
    pickled = pickle.dumps(copy.copy(fitted).set_params(device="cuda:0"))

    def nowhere(name: str) -> torch.device:
        raise ConfigError(f"device={name!r} cannot be used: give auto, cpu or cuda")

    monkeypatch.setattr("tokensieve.estimator.state.resolve_device", nowhere)
    with pytest.warns(UserWarning, match=r"device='cuda:0' cannot be used.*CPU"):
        moved = pickle.loads(pickled)
    np.testing.assert_array_equal(moved.predict_proba(X), fitted.predict_proba(X))


def test_a_pickle_holds_a_copy_on_the_cpu(fitted: TokensieveClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model that is elsewhere, which stays there."""
    model, engine = fitted.classifier_.model, fitted.classifier_.engine
    monkeypatch.setattr(type(model), "device", torch.device("cuda"))
    state = fitted.__getstate__()
    monkeypatch.undo()
    assert state["classifier_"].model is not model
    assert fitted.classifier_.engine is engine
    assert engine.model is model
    np.testing.assert_array_equal(state["classifier_"].predict_proba(X), fitted.predict_proba(X))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_fitted_on_a_gpu(make: Make) -> None:
    estimator = make(device="cuda").fit(X, Y)
    assert estimator.classifier_.model.device.type == "cuda"
    state = estimator.__getstate__()
    assert state["classifier_"].model.device.type == "cpu"
    assert estimator.classifier_.model.device.type == "cuda"
    copied = pickle.loads(pickle.dumps(estimator))
    assert copied.classifier_.model.device.type == "cuda"
    np.testing.assert_allclose(copied.predict_proba(X), estimator.predict_proba(X), atol=1e-5)
