"""Attention of [CLS] and keys of the last layer, against the tower's own attention."""

from typing import Any

import pytest
import torch
from transformers import SiglipVisionConfig, SiglipVisionModel

from tokensieve import ConfigError, InputError
from tokensieve.multimodal import vision_signals
from tokensieve.multimodal.signals import attention_of, projected
from unit.multimodal.towers import PATCHES, SIZES, TOWERS, built, pictures

each_tower = pytest.mark.parametrize("make", TOWERS.values(), ids=TOWERS)


@each_tower
@torch.no_grad()
def test_the_mean_of_heads_is_the_towers_own_attention(make: Any) -> None:
    tower = built(make)
    signals = vision_signals(tower, pictures(2), heads="mean")
    tower.set_attn_implementation("eager")
    output = tower(pictures(2), output_attentions=True, output_hidden_states=True)
    expected = output.attentions[-1].mean(1)[:, 0, -PATCHES:]
    torch.testing.assert_close(signals.attention, expected, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(signals.hidden, output.hidden_states[-2][:, -PATCHES:], atol=1e-4, rtol=1e-4)
    assert signals.keys.shape == (2, PATCHES, SIZES["hidden_size"])
    assert expected.sum(1).max() < 1, "[CLS] gives some to itself"


@each_tower
@torch.no_grad()
def test_one_head_is_of_whole_vectors(make: Any) -> None:
    tower = built(make)
    one, mean = (vision_signals(tower, pictures(2), heads=heads) for heads in ("one", "mean"))  # type: ignore[arg-type]
    assert torch.equal(one.keys, mean.keys)
    assert not torch.allclose(one.attention, mean.attention, atol=1e-4)
    with projected(tower) as seen:
        tower(pictures(2))
    logits = (seen.query[:, 0].unsqueeze(1) @ seen.key.transpose(1, 2)).squeeze(1) / SIZES["hidden_size"] ** 0.5  # type: ignore[union-attr,index]
    torch.testing.assert_close(one.attention, logits.softmax(-1)[:, -PATCHES:])


@torch.no_grad()
def test_no_hook_stays() -> None:
    tower = built(TOWERS["clip"])
    with pytest.raises(ZeroDivisionError), projected(tower):
        _ = 1 / 0
    assert not any(module._forward_hooks for module in tower.modules())


def test_padding_gets_nothing_and_changes_nothing() -> None:
    query, key = torch.randn(2, 3, 8), torch.randn(2, 6, 8)
    there = torch.arange(6).expand(2, -1) < torch.tensor([[6], [4]])
    given = attention_of(query, key, 2, there)
    assert not given[1, :, :, 4:].any()
    torch.testing.assert_close(given[1:, :, :, :4], attention_of(query[1:], key[1:, :4], 2))


def test_refused() -> None:
    with pytest.raises(InputError, match=r"SiglipVisionModel has 49 tokens for 49 patches, so no \[CLS\] token"):
        vision_signals(built(lambda: SiglipVisionModel(SiglipVisionConfig(**SIZES))), pictures(1))
    with pytest.raises(InputError, match="Linear has no q_proj and k_proj or query and key: give the attention"):
        vision_signals(torch.nn.Linear(2, 2), pictures(1))
    with pytest.raises(ConfigError, match="heads='max'"):
        vision_signals(built(TOWERS["clip"]), pictures(1), heads="max")  # type: ignore[arg-type]
