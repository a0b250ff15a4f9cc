"""TokensieveEncoder: the vectors of load_encoder, inside scikit-learn's own tools."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from tokensieve import ConfigError, DataError, TokensieveEncoder, load_encoder
from unit.estimator.keyword_texts import texts_and_labels

X, Y = texts_and_labels(24)


@pytest.fixture
def encoder(tiny_bert_dir: Path) -> TokensieveEncoder:
    return TokensieveEncoder(tiny_bert_dir, "quantile", max_length=32, device="cpu")


def test_vectors_are_those_of_load_encoder(encoder: TokensieveEncoder, tiny_bert_dir: Path) -> None:
    wanted = load_encoder(tiny_bert_dir, "quantile", device="cpu", max_length=32).encode(X)
    np.testing.assert_allclose(encoder.fit_transform(X), wanted, atol=1e-5)
    np.testing.assert_allclose(clone(encoder).transform(np.array(X, dtype=object)), wanted, atol=1e-5)
    plain = TokensieveEncoder(tiny_bert_dir, "quantile", 32, normalize=False, device="cpu").transform(X)
    np.testing.assert_allclose(plain / np.linalg.norm(plain, axis=1, keepdims=True), wanted, atol=1e-5)
    assert list(encoder.get_feature_names_out())[:2] == ["tokensieveencoder0", "tokensieveencoder1"]


def test_a_pipeline_that_searches_over_settings(encoder: TokensieveEncoder) -> None:
    pipeline = make_pipeline(encoder, LogisticRegression(C=100, max_iter=1000))
    grid = {"tokensieveencoder__settings": ["dense", "quantile"]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, Y)
    assert search.predict(X).shape == (24,)
    assert pipeline.fit(X, Y).score(X, Y) > 0.5, "three classes"


def test_a_pickle_has_no_weights_and_gives_the_same(encoder: TokensieveEncoder) -> None:
    wanted = encoder.fit(X).transform(X)
    pickled = pickle.dumps(encoder)
    assert len(pickled) < 2000
    np.testing.assert_array_equal(pickle.loads(pickled).transform(X), wanted)


def test_what_cannot_be_used(tiny_bert_dir: Path) -> None:
    with pytest.raises(ConfigError, match="nope"):
        TokensieveEncoder(tiny_bert_dir, "nope", device="cpu").fit(X)
    with pytest.raises(DataError, match=r"X\[1\]"):
        TokensieveEncoder(tiny_bert_dir, device="cpu").transform(["the film", ""])
