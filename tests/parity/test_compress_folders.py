"""`compress` on folders: what is read, and the one clear error for each that cannot be."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AlbertConfig,
    AlbertModel,
    AutoModelForSequenceClassification,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
)

from flat import reduction
from parity.sources import LABELS, SOURCES, build_source, source_batch
from support.folders import change_config, read_config, write_config
from tokensieve import CheckpointError, ReductionConfig, compress

DENSE = ReductionConfig.preset("dense")
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50}


@pytest.fixture
def bert_dir(tmp_path: Path) -> Path:
    """Folder with a tiny random BERT classifier, without tokenizer."""
    build_source("bert").save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", SOURCES)
@torch.no_grad()
def test_a_folder_is_the_model_in_it(name: str, tmp_path: Path) -> None:
    source = build_source(name)
    source.save_pretrained(tmp_path)
    model = compress(str(tmp_path), DENSE)
    assert not model.training
    assert model.num_labels == LABELS
    inputs = source_batch(source)
    torch.testing.assert_close(model(**inputs).logits, source(**inputs).logits, atol=1e-4, rtol=0)


def test_a_folder_is_read_in_float32(tmp_path: Path) -> None:
    build_source("bert").bfloat16().save_pretrained(tmp_path)
    assert {parameter.dtype for parameter in compress(tmp_path, DENSE).parameters()} == {torch.float32}


def test_a_folders_tokenizer_tells_the_special_tokens(tiny_bert_dir: Path) -> None:
    model = compress(tiny_bert_dir, reduction())
    assert model.config.special_token_ids == [2, 3]  # [CLS] and [SEP] of the tiny tokenizer
    assert model.config.id2label == {0: "negative", 1: "positive"}


def test_our_own_folder(bert_dir: Path, tmp_path: Path) -> None:
    settings = reduction(combine_layer=2)
    first = compress(bert_dir, settings)
    first.save_pretrained(tmp_path / "ours")
    again = compress(tmp_path / "ours", settings)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())


def _change_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _truncate(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _pickle_instead(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _lose(folder: Path, part: str) -> None:
    file = folder / "model.safetensors"
    kept = {name: value for name, value in load_file(file).items() if part not in name}
    save_file(kept, file, metadata={"format": "pt"})


BREAKAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "config is no JSON": (lambda folder: (folder / "config.json").write_text("{"), r"config\.json"),
    "no config": (lambda folder: (folder / "config.json").unlink(), r"config\.json"),
    "unknown family": (lambda folder: _change_config(folder, model_type="albert"), "albert.*bert.*distilbert"),
    "no family at all": (lambda folder: _change_config(folder, model_type="none-such"), "none-such"),
    "decoder": (lambda folder: _change_config(folder, is_decoder=True), "decoder"),
    "weights cut off": (_truncate, "safetensors"),
    "weights are text": (lambda folder: (folder / "model.safetensors").write_text("not weights"), "safetensors"),
    "weights missing": (lambda folder: (folder / "model.safetensors").unlink(), "safetensors"),
    "weights pickled": (_pickle_instead, "safetensors"),
    "weights of other shapes": (lambda folder: _change_config(folder, hidden_size=64), "weights|safetensors|shape"),
    "a layer lost": (lambda folder: _lose(folder, "encoder.layer.1."), r"encoder\.layer\.1\."),
    "embeddings lost": (lambda folder: _lose(folder, "word_embeddings"), "word_embeddings"),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_folder(breakage: str, bert_dir: Path) -> None:
    break_it, named = BREAKAGES[breakage]
    break_it(bert_dir)
    with pytest.raises(CheckpointError, match=named) as caught:
        compress(bert_dir, DENSE)
    assert str(bert_dir) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none", "no-such-organisation/no-such-model"):
        with pytest.raises(CheckpointError, match=Path(path).name):
            compress(path, DENSE)


def test_a_file_in_place_of_a_folder(bert_dir: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model\.safetensors.*folder"):
        compress(bert_dir / "model.safetensors", DENSE)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        (AlbertModel(AlbertConfig(**TINY, embedding_size=8)), "albert"),
        (GPT2Model(GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=2)), "gpt2"),
        (BertModel(BertConfig(**TINY, is_decoder=True)), "decoder"),
    ],
    ids=["albert", "gpt2", "decoder"],
)
def test_models_that_are_no_source(source: torch.nn.Module, named: str) -> None:
    with pytest.raises(CheckpointError, match=named):
        compress(source, reduction())


@pytest.mark.parametrize("positions", ["absolute", "sans_pos"])
def test_a_modernbert_of_an_earlier_transformers(positions: str, tmp_path: Path) -> None:
    """Its config tells how often a layer is global and both bases of rotations, each by a field of its own."""
    source = build_source("modernbert")
    source.save_pretrained(tmp_path)
    record = read_config(tmp_path)
    for name in ("layer_types", "rope_parameters"):
        del record[name]
    record |= {"global_attn_every_n_layers": 2, "global_rope_theta": 500.0, "local_rope_theta": 20}
    record |= {"position_embedding_type": positions, "layer_norm_eps": 1e-05, "gradient_checkpointing": False}
    write_config(tmp_path, record)
    model = compress(tmp_path, DENSE)
    blocks = model.config.block
    assert (blocks.rotary_base, blocks.local_rotary_base, blocks.local_layers) == (500.0, 20, (1, 3))
    again, inputs = AutoModelForSequenceClassification.from_pretrained(tmp_path), source_batch(source)
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs).logits, again(**inputs).logits, atol=1e-4, rtol=0)


def test_a_eurobert_of_an_earlier_transformers(tmp_path: Path) -> None:
    """The published configs give the base of the rotation by a field of its own."""
    source = build_source("eurobert")
    source.save_pretrained(tmp_path)
    record = read_config(tmp_path)
    del record["rope_parameters"]
    write_config(tmp_path, record | {"rope_theta": 250_000, "rope_scaling": None, "clf_pooling": "late"})
    model = compress(tmp_path, DENSE)
    assert model.config.block.rotary_base == 250_000
    again, inputs = AutoModelForSequenceClassification.from_pretrained(tmp_path), source_batch(source)
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs).logits, again(**inputs).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("modernbert", {"rope_parameters": {"full_attention": {"rope_type": "yarn", "factor": 4}}}, "rope_parameters="),
        ("modernbert", {"layer_types": ["chunked_attention"] * 4}, "layer_types="),
        ("mpnet", {"relative_attention_num_buckets": 16}, "relative_attention_num_buckets=16"),
        ("mpnet", {"pad_token_id": 0}, "pad_token_id=0"),
        ("eurobert", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4}}, "rope_parameters="),
        ("eurobert", {"head_dim": 16}, "head_dim=16 with hidden_size=32"),
        ("eurobert", {"num_key_value_heads": 3}, "key_value_heads=3 with num_attention_heads=4"),
        ("eurobert", {"classifier_pooling": "last"}, "classifier_pooling='last': choose one of 'bos', 'mean', 'late'"),
    ],
)
def test_what_is_not_computed_is_refused_by_the_names_of_the_family(
    kind: str, changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    build_source(kind).save_pretrained(tmp_path)
    change_config(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=message):
        compress(tmp_path, DENSE)
