"""load_encoder(): the mean of the tokens that are left, by any settings that need no training, of any checkpoint."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

import tokensieve
from tokensieve import CheckpointError, ConfigError, ReductionConfig, TokensieveModel
from tokensieve.errors import DataError, InputError
from tokensieve.model.plan import make_plan
from tokensieve.runtime.classifier import documents_of
from tokensieve.runtime.load import load

QUANTILE = replace(ReductionConfig.preset("quantile"), min_length=12)


@torch.no_grad()
def means_of_transformers(folder: Path, texts: list[str], longest: int = 64) -> np.ndarray:
    """Mean pooling as sentence-transformers does it, a padded batch at once."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    inputs = tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
    mask = inputs["attention_mask"].unsqueeze(-1)
    hidden = model(**inputs).last_hidden_state
    return ((hidden * mask).sum(1) / mask.sum(1)).numpy()


def test_unpruned_vectors_are_the_means_of_transformers(tiny_bert_dir: Path, some_texts: list[str]) -> None:
    encoder = tokensieve.load_encoder(tiny_bert_dir, device="cpu")
    assert encoder.settings.prune is None
    plain = encoder.encode(some_texts, normalize=False)
    assert (plain.shape, plain.dtype) == ((40, 32), np.float32)
    np.testing.assert_allclose(plain, means_of_transformers(tiny_bert_dir, some_texts), atol=1e-5)
    assert np.abs(plain[:-1] - plain[1:]).max() > 1e-2, "vectors that are all the same would prove nothing here"
    vectors = encoder.encode(iter(some_texts))
    np.testing.assert_allclose(vectors, plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-5)


def test_a_pruned_vector_minds_no_neighbour(tiny_bert_dir: Path, some_texts: list[str]) -> None:
    encoder = tokensieve.load_encoder(tiny_bert_dir, QUANTILE, device="cpu", batch_tokens=150)
    vectors = encoder.encode(some_texts)
    np.testing.assert_allclose(vectors, np.concatenate([encoder.encode([text]) for text in some_texts]), atol=1e-5)
    dense = tokensieve.load_encoder(tiny_bert_dir, device="cpu").encode(some_texts)
    pruned = np.abs(vectors - dense).max(1) > 1e-4
    lengths = np.array([len(text.split()) + 2 for text in some_texts])
    assert pruned[lengths >= 12].all()
    assert not pruned[lengths < 12].any()


def test_the_mean_is_that_of_the_tokens_that_are_left(tiny_bert_dir: Path) -> None:
    encoder = tokensieve.load_encoder(tiny_bert_dir, QUANTILE, device="cpu")
    inputs = AutoTokenizer.from_pretrained(tiny_bert_dir)(["the film was good " * 5], return_tensors="pt")
    with torch.no_grad():
        left = encoder.model(**inputs).last_hidden_state[0]
    assert len(left) < inputs["input_ids"].shape[1]
    vector = encoder.encode(["the film was good " * 5], normalize=False)
    np.testing.assert_allclose(vector, left.mean(0, keepdim=True), atol=1e-5)


def test_flops_are_those_of_the_body(tiny_bert_dir: Path, some_texts: list[str]) -> None:
    encoder = tokensieve.load_encoder(tiny_bert_dir, QUANTILE, device="cpu")
    (window,) = encoder.engine.embed_windows(list(documents_of(some_texts)))
    flops = encoder.flops(window.lengths, window.kept)
    config, d, wide = encoder.model.config, 32, 64
    for length, kept, found in zip(window.lengths, window.kept, flops, strict=True):
        rows = [length, *kept]  # a layer's rows that enter, and those that leave it
        by_hand = sum(
            2 * d * d * (3 * into + out) + 4 * d * into * into + 4 * d * wide * out for into, out in pairwise(rows)
        )
        assert found == by_hand
    assert max(flops) < make_plan(config, max(window.lengths)).dense_flops


def test_settings_by_name_by_file_and_of_the_checkpoint(
    tiny_bert_dir: Path, save_classifier: Callable[..., Path], tmp_path: Path, some_texts: list[str]
) -> None:
    by_name = tokensieve.load_encoder(tiny_bert_dir, "quantile", device="cpu")
    assert by_name.settings == ReductionConfig.preset("quantile")
    file = tmp_path / "few-shot.json"
    file.write_text(json.dumps({"preset": "quantile", "min_length": 12, "prune": {"merge": "most-similar"}}))
    for given in (file, str(file)):
        by_file = tokensieve.load_encoder(tiny_bert_dir, given, device="cpu").settings
        assert (by_file.min_length, by_file.prune and by_file.prune.merge is not None) == (12, True)
    folder = save_classifier(tmp_path / "trained", site="hidden", pooling="mean")
    own = tokensieve.load_encoder(folder, device="cpu")
    assert own.settings == load(folder, device="cpu").model.settings
    np.testing.assert_allclose(
        own.encode(some_texts, normalize=False), load(folder, device="cpu").encode(some_texts), atol=1e-5
    )
    assert isinstance(own.model, TokensieveModel)
    unpruned = tokensieve.load_encoder(folder, "dense", device="cpu")
    assert unpruned.settings.prune is None
    assert np.abs(unpruned.encode(some_texts) - own.encode(some_texts)).max() > 1e-3


def test_half_precision_and_a_shorter_length(tiny_bert_dir: Path, some_texts: list[str]) -> None:
    half = tokensieve.load_encoder(tiny_bert_dir, device="cpu", dtype="bfloat16")
    assert half.dtype == "bfloat16"
    vectors = half.encode(some_texts)
    assert vectors.dtype == np.float32
    full = tokensieve.load_encoder(tiny_bert_dir, device="cpu").encode(some_texts)
    assert (vectors * full).sum(1).min() > 0.98
    short = tokensieve.load_encoder(tiny_bert_dir, device="cpu", max_length=8).encode(some_texts, normalize=False)
    np.testing.assert_allclose(short, means_of_transformers(tiny_bert_dir, some_texts, 8), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ("fast", ConfigError, "one stage"),
        ("fastest", CheckpointError, "no fitted importance.*prune.score=received"),
        ("quantil", ConfigError, "did you mean quantile"),
        (Path("no.json"), ConfigError, "no.json"),
    ],
)
def test_settings_that_need_training_or_are_not_there(
    tiny_bert_dir: Path, settings: Any, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        tokensieve.load_encoder(tiny_bert_dir, settings, device="cpu")


def test_an_unknown_name_in_a_file(tiny_bert_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"preset": "quantile", "train": {"epochs": 1}}))
    with pytest.raises(ConfigError, match=r"settings\.json.*unknown setting 'train'"):
        tokensieve.load_encoder(tiny_bert_dir, file, device="cpu")


def test_folders_that_are_no_encoder(tmp_path: Path, save_classifier: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        tokensieve.load_encoder(tmp_path / "nowhere", device="cpu")
    cascade = save_classifier(tmp_path / "cascade", reread=0.5)
    with pytest.raises(CheckpointError, match="a cascade"):
        tokensieve.load_encoder(cascade, device="cpu")


def test_texts_that_cannot_be_read(tiny_bert_dir: Path) -> None:
    encoder = tokensieve.load_encoder(tiny_bert_dir, device="cpu")
    assert encoder.encode([]).shape == (0, 32)
    with pytest.raises(ConfigError, match=r"\[text\]"):
        encoder.encode("the film")
    with pytest.raises(InputError, match="document 1"):
        encoder.encode(["the film", ""])
    with pytest.raises(DataError, match="set, which has no order"):
        encoder.encode({"the film"})
