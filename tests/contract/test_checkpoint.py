"""Saved and loaded again: the same model. Built from a config alone: sane parameters. Foreign records: refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast, pipeline

from contract.variants import COMBINING, LABELS, UNEQUAL, batch, documents, model_config, settings, tiny_model
from flat import reduction
from tokensieve import (
    ConfigError,
    InputError,
    TokensieveConfig,
    TokensieveError,
    TokensieveForSequenceClassification,
    compress,
)

each_shape = pytest.mark.parametrize("combining", COMBINING, ids=str)


@each_shape
@torch.no_grad()
def test_round_trip(combining: dict[str, Any], tmp_path: Path) -> None:
    model = tiny_model(settings(site="hidden", min_length=3, **combining))
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(loaded) is TokensieveForSequenceClassification
    assert not loaded.training
    inputs = batch(documents(UNEQUAL))
    torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits, atol=1e-5, rtol=0)
    assert loaded.settings == model.settings
    saved, read = ([*kind.named_parameters(), *kind.named_buffers()] for kind in (model, loaded))
    assert all(old == new and torch.equal(a, b) for (old, a), (new, b) in zip(saved, read, strict=True))


@each_shape
def test_config_round_trip(combining: dict[str, Any], tmp_path: Path) -> None:
    config = model_config(settings(heads="per_head", keep_ratio=0.7, **combining))
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is TokensieveConfig
    assert loaded.to_dict() | {"_name_or_path": ""} == config.to_dict()
    assert loaded.settings == config.settings
    assert json.loads((tmp_path / "config.json").read_text())["reduction"]["format_version"] == 2


def test_the_checkpoint_is_safetensors_alone(tmp_path: Path) -> None:
    model = tiny_model(settings(combine_layer=3))
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert set(load_file(tmp_path / "model.safetensors")) == set(model.state_dict())


@pytest.mark.parametrize("in_the_file", ["weight", "gamma"])
def test_names_of_weights_are_those_of_the_model(in_the_file: str, tmp_path: Path) -> None:
    """Whatever the file called them that the model was loaded from: Trainer reads no other names back."""
    model = tiny_model(settings(combine_layer=3))
    model.save_pretrained(tmp_path / "old")
    weights = load_file(tmp_path / "old" / "model.safetensors")
    renamed = {name.replace("LayerNorm.weight", f"LayerNorm.{in_the_file}"): weights[name] for name in weights}
    save_file(renamed, tmp_path / "old" / "model.safetensors", metadata={"format": "pt"})
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "old")
    loaded.save_pretrained(tmp_path / "new")
    saved = load_file(tmp_path / "new" / "model.safetensors")
    assert saved.keys() == weights.keys()
    assert all(torch.equal(saved[name], weights[name]) for name in weights)


def test_dtype_is_the_checkpoints(tmp_path: Path) -> None:
    tiny_model(settings(combine_layer=3)).bfloat16().save_pretrained(tmp_path)
    loaded = TokensieveForSequenceClassification.from_pretrained(tmp_path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    "record",
    [
        {"prun": None},
        {"format_version": 3},
        {"format_version": "1.0"},
        {"prune": {"schedule": {"name": "constant", "keep": 1.5}}},
        {"combine": {"layer": 5}},
        {"site": "hidden", "prune": None},
        {"prune": {"score": {"name": "received", "heads": "per_head"}, "site": "hidden"}},
    ],
    ids=str,
)
def test_foreign_records_are_refused(record: dict[str, Any], tmp_path: Path) -> None:
    tiny_model(settings()).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    content = json.loads(file.read_text())
    content["reduction"] |= record
    file.write_text(json.dumps(content))
    for load in (AutoConfig.from_pretrained, AutoModelForSequenceClassification.from_pretrained):
        with pytest.raises(TokensieveError, match=next(iter(record))):
            load(tmp_path)


def test_settings_outside_their_record_are_refused() -> None:
    """transformers' base class takes any key without a word; a setting that does nothing must not pass."""
    with pytest.raises(ConfigError, match="keep_ratio"):
        TokensieveConfig(keep_ratio=0.5)


@torch.no_grad()
def check_initial_values(model: TokensieveForSequenceClassification, spread: float) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.LayerNorm):
            assert torch.equal(module.weight, torch.ones_like(module.weight)), name
        if isinstance(module, nn.LayerNorm | nn.Linear):
            assert not module.bias.any(), name
        if isinstance(module, nn.Linear | nn.Embedding):
            assert spread / 2 < float(module.weight.std()) < spread * 2, name
    combination = model.embeddings.combination_tokens
    if combination is not None:
        assert spread / 2 < float(combination.weight.std()) < spread * 2
        assert (torch.pdist(combination.weight) > 0).all(), "combination tokens that start alike stay alike"


@each_shape
def test_a_model_from_a_config_alone(combining: dict[str, Any]) -> None:
    check_initial_values(TokensieveForSequenceClassification(model_config(settings(**combining))), spread=0.3)


def test_what_a_checkpoint_lacks_is_initialised(tmp_path: Path) -> None:
    """from_pretrained builds on the meta device: what no file fills must be filled by `_init_weights`."""
    config = model_config(settings(combine_layer=3))
    TokensieveForSequenceClassification(config).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights = {name: value.clone() for name, value in weights.items()}  # safetensors may map the file that is rewritten
    kept = {name: value for name, value in weights.items() if "word" in name or "layer.1." in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    model = TokensieveForSequenceClassification.from_pretrained(tmp_path)
    check_initial_values(model, spread=0.3)
    assert torch.equal(model.embeddings.word_embeddings.weight, weights["embeddings.word_embeddings.weight"])


def test_new_labels_get_a_new_head(tmp_path: Path) -> None:
    tiny_model(settings(combine_layer=3)).save_pretrained(tmp_path)
    model = TokensieveForSequenceClassification.from_pretrained(
        tmp_path, num_labels=LABELS + 4, ignore_mismatched_sizes=True
    )
    logits = model(**batch(documents(UNEQUAL))).logits
    assert logits.shape == (len(UNEQUAL), LABELS + 4)
    assert not model.head.classifier.bias.any()


def test_pipeline(tiny_bert_dir: Path, tiny_tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    compress(tiny_bert_dir, reduction(keep_ratio=0.5)).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    classify = pipeline("text-classification", str(tmp_path))
    found = classify(["the film was good", "bad law"], top_k=None)
    assert [{answer["label"] for answer in one} for one in found] == [{"negative", "positive"}] * 2
    assert [sum(answer["score"] for answer in one) for one in found] == pytest.approx([1, 1])
    with pytest.raises(InputError, match=r"102 tokens.*\b64\b"):
        classify("good " * 100)
