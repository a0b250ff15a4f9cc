"""Document vectors: what the head's last layer reads, whatever batch or window a text is in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tokensieve
from tokensieve.runtime.classifier import Classifier

POOLING: dict[str, dict[str, Any]] = {
    "pretrained head": {"pooling": "host", "site": "hidden"},
    "mean": {"pooling": "mean"},
    "combined": {"combine_layer": 3},
}


@pytest.fixture(scope="module", params=POOLING)
def pooled(
    request: pytest.FixtureRequest, save_classifier: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Classifier:
    folder = save_classifier(tmp_path_factory.mktemp("pooled"), **POOLING[request.param])
    return tokensieve.load(folder, device="cpu", batch_tokens=200)


def test_the_last_layer_makes_the_logits_of_them(pooled: Classifier, some_texts: list[str]) -> None:
    vectors = pooled.encode(some_texts)
    assert vectors.shape == (40, 32)
    assert vectors.dtype == np.float32
    with torch.no_grad():
        logits = pooled.model.head.classifier(torch.tensor(vectors))
    np.testing.assert_allclose([result.logits for result in pooled.results(some_texts)], logits, atol=1e-5)


def test_alone_and_over_windows(pooled: Classifier, some_texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = pooled.encode(iter(some_texts))
    np.testing.assert_allclose(vectors, np.concatenate([pooled.encode([text]) for text in some_texts]), atol=1e-5)
    monkeypatch.setattr("tokensieve.runtime.windows._WINDOW_DOCUMENTS", 7)
    np.testing.assert_allclose(vectors, pooled.encode(some_texts), atol=1e-5)
    assert np.abs(vectors[:-1] - vectors[1:]).max() > 1e-3, "vectors that are all the same would prove nothing here"


def test_vectors_of_length_one(pooled: Classifier, some_texts: list[str]) -> None:
    vectors, plain = pooled.encode(some_texts, normalize=True), pooled.encode(some_texts)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors * np.linalg.norm(plain, axis=1, keepdims=True), plain, atol=1e-5)


def test_nothing_to_encode(pooled: Classifier) -> None:
    for normalize in (False, True):
        assert pooled.encode([], normalize=normalize).shape == (0, 32)


def test_pairs_have_one_vector(pooled: Classifier) -> None:
    one, other = pooled.encode([("film", "law"), ("film", "team")])
    assert one.shape == (32,)
    assert np.abs(one - other).max() > 1e-3


def test_vectors_of_a_model_in_half_precision(classifier_dir: Path, some_texts: list[str]) -> None:
    half = tokensieve.load(classifier_dir, device="cpu", dtype="bfloat16").encode(some_texts)
    assert half.dtype == np.float32
    full = tokensieve.load(classifier_dir, device="cpu").encode(some_texts)
    assert np.median(np.abs(half - full)) < 0.05 * np.median(np.abs(full))


def test_one_string_in_place_of_a_list(pooled: Classifier) -> None:
    with pytest.raises(tokensieve.ConfigError, match=r"\[text\]"):
        pooled.encode("the film was good")
