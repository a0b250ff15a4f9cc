"""Layers of other kinds than BERT's: whatever the blocks, the contract of the methods holds."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from contract import oracle
from contract.variants import UNEQUAL, batch, documents, settings, tiny_model
from tokensieve import ConfigError, InputError, ReductionConfig, TokensieveConfig, TokensieveForSequenceClassification
from tokensieve.methods import METHODS as ROWS
from tokensieve.model.block import Blocks
from tokensieve.reduce.combine.combining_module import CombiningModule

BLOCKS: dict[str, dict[str, Any]] = {
    "norm first": {"blocks": {"norm_first": True}},
    "norm first but not ahead of the first layer": {"blocks": {"norm_first": True, "first_norm": False}},
    "rms": {"blocks": {"norm": "rms", "norm_first": True}},
    "no biases": {"blocks": {"norm_bias": False, "attention_bias": False, "feed_forward_bias": False}},
    "geglu": {"blocks": {"gated": True}},
    "swiglu": {"blocks": {"gated": True}, "hidden_act": "silu"},
    "relative bias": {"blocks": {"relative_buckets": 32}},
    "relative bias, few buckets and no table": {"blocks": {"relative_buckets": 8, "position_table": False}},
    "rotary": {"blocks": {"rotary_base": 10.0, "position_table": False}},
    "two rotary bases and windows": {
        "blocks": {"rotary_base": 100.0, "local_rotary_base": 10.0, "window": 5, "local_layers": [1, 2]}
    },
    "windows alone": {"blocks": {"window": 1, "local_layers": [1, 3]}},
    "no table": {"blocks": {"position_table": False}},
}
"""One change to BERT's layers each."""
METHODS: dict[str, ReductionConfig] = {
    "dense": settings(pruning="none", pooling="host"),
    "tome": replace(ROWS["tome"].settings, combine=CombiningModule(layer=4, tokens=2)),
    "keys": settings(pruning="ratio", pooling="host"),
    "keys of each head": settings(pruning="ratio", heads="per_head", pooling="host"),
    "hidden": settings(pruning="ratio", site="hidden", combine_layer=3),
    "learned": settings(site="hidden", score="learned", keep_ratios=(0.5, 0.8, 1.0, 0.4), leaving_keys=True),
}
each_block = pytest.mark.parametrize("sizes", BLOCKS.values(), ids=BLOCKS)
each_method = pytest.mark.parametrize("reduction", METHODS.values(), ids=METHODS)


@each_block
@each_method
@torch.no_grad()
def test_packed_rows_are_the_method(sizes: dict[str, Any], reduction: ReductionConfig) -> None:
    model, inputs = tiny_model(reduction, **sizes), batch(documents(UNEQUAL))
    logits, _ = oracle.answers(model, **inputs)
    torch.testing.assert_close(model(**inputs).logits, logits, atol=1e-4, rtol=0)
    plain = tiny_model(reduction)(**inputs).logits
    assert (plain - logits).abs().max() > 1e-3, "the block changes nothing"


@each_block
@torch.no_grad()
def test_a_document_alone_answers_as_in_a_batch(sizes: dict[str, Any]) -> None:
    model, texts = tiny_model(METHODS["learned"], **sizes), documents(UNEQUAL)
    alone = torch.cat([model(**batch([text])).logits for text in texts])
    # Processors add up in another order for other numbers of rows: with AMX a logit differs by 1.4e-5.
    torch.testing.assert_close(model(**batch(texts, "left")).logits, alone, atol=3e-5, rtol=0)


@each_block
def test_every_parameter_learns(sizes: dict[str, Any]) -> None:
    model = tiny_model(METHODS["dense"], **sizes).train()
    model(**batch(documents(UNEQUAL)), labels=torch.tensor([0, 1, 2, 0])).loss.backward()
    names = [name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert names == []


@each_block
def test_saved_and_loaded(sizes: dict[str, Any], tmp_path: Any) -> None:
    model, inputs = tiny_model(METHODS["hidden"], **sizes), batch(documents(UNEQUAL))
    model.save_pretrained(tmp_path)
    again = TokensieveForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(again(**inputs).logits, model(**inputs).logits)


def test_only_the_parameters_that_the_blocks_ask_for() -> None:
    blocks = Blocks(
        norm_first=True, first_norm=False, norm_bias=False, attention_bias=False, feed_forward_bias=False, gated=True
    )
    model = tiny_model(METHODS["dense"], blocks=blocks)
    body = {name for name, _ in model.named_parameters() if not name.startswith("head.")}
    assert not [name for name in body if name.endswith("bias")]
    norms = [name for name, module in model.encoder.named_modules() if isinstance(module, nn.LayerNorm)]
    assert "layer.0.attention.self.LayerNorm" not in norms
    assert len(norms) == 2 * 4 - 1 + 1
    width, wide = model.config.hidden_size, model.config.intermediate_size
    assert model.get_submodule("encoder.layer.0.intermediate.dense").weight.shape == (2 * wide, width)


def test_positions_have_no_meaning_without_a_table() -> None:
    model = tiny_model(METHODS["dense"], blocks={"position_table": False})
    with pytest.raises(InputError, match="has no position table: leave them out"):
        model(**batch(documents((4,))), position_ids=torch.arange(4).unsqueeze(0))


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"norm": "batch"}, "blocks: norm='batch': choose one of 'layer', 'rms'"),
        ({"gate": True}, "blocks: gate=True: did you mean gated"),
        ({"norm_first": 1}, "blocks: norm_first=1: give True or False"),
        ({"window": 3}, r"blocks: window=3, local_layers=\[\]: give both"),
        ({"window": 3, "local_layers": [2, 12]}, r"blocks: local_layers=\[2, 12\] with num_hidden_layers=12"),
        ({"local_rotary_base": 10.0}, "blocks: local_rotary_base=10 without rotary_base"),
        ({"relative_buckets": 3}, "blocks: relative_buckets=3: give 0, or 4 to 1024"),
        ({"relative_buckets": 8, "window": 3, "local_layers": [2]}, "window=3 with relative_buckets=8"),
        ([1], r"blocks=\[1\]: give the record"),
    ],
)
def test_wrong_blocks_are_refused(blocks: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TokensieveConfig(blocks=blocks)


def test_a_bert_writes_no_blocks() -> None:
    assert TokensieveConfig().blocks == {}
    assert TokensieveConfig(blocks=Blocks(gated=True)).blocks == {"gated": True}
