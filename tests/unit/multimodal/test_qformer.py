"""Rank votes on tiny Q-Formers with random weights, against the model's own cross-attention."""

from typing import Any

import pytest
import torch

from contract.oracle.visual_tokens import borda
from tokensieve import ConfigError, InputError
from tokensieve.multimodal import reduce_query_tokens
from unit.multimodal.towers import QFORMERS, built

each_qformer = pytest.mark.parametrize("name", QFORMERS)
QUERIES, IMAGE = 8, 12


def inputs_of(name: str, images: int = 2) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(1, QUERIES, 32, generator=generator).expand(images, -1, -1)
    inputs = {"query_embeds": queries, "encoder_hidden_states": torch.randn(images, IMAGE, 16, generator=generator)}
    if name == "instructblip":
        inputs |= {"input_ids": torch.tensor([[3, 4, 5]]).expand(images, -1)}
        inputs |= {"attention_mask": torch.ones(images, QUERIES + 3, dtype=torch.long)}
    return inputs


@each_qformer
@torch.no_grad()
def test_against_the_models_own_attention(name: str) -> None:
    # In double precision: in float32 the two kernels of attention differ by more than the bound on some processors.
    qformer = built(QFORMERS[name]).double()
    inputs = {key: own.double() if own.is_floating_point() else own for key, own in inputs_of(name).items()}
    found, places = reduce_query_tokens(qformer, inputs, 3)
    qformer.set_attn_implementation("eager")
    output = qformer(**inputs, output_attentions=True)
    attention = output.cross_attentions[-1][:, :, :QUERIES]
    for image in range(2):
        votes = borda(attention[image])
        best = sorted(sorted(range(QUERIES), key=lambda q: (-votes[q], q))[:3])
        assert places[image].tolist() == best
        torch.testing.assert_close(found[image], output.last_hidden_state[image, best], atol=1e-5, rtol=1e-5)


@each_qformer
@torch.no_grad()
def test_weights_change_the_choice(name: str) -> None:
    qformer, inputs = built(QFORMERS[name]), inputs_of(name)
    weights = torch.zeros(2, IMAGE)
    weights[:, 0] = 1.0
    _, by_one = reduce_query_tokens(qformer, inputs, 3, weights)
    _, by_all = reduce_query_tokens(qformer, inputs, 3)
    assert not torch.equal(by_one, by_all)


@each_qformer
@torch.no_grad()
def test_an_image_does_not_see_its_batch(name: str) -> None:
    """Nor the padding of the shorter one."""
    qformer, inputs = built(QFORMERS[name]), inputs_of(name)
    mask = torch.arange(IMAGE).expand(2, -1) < torch.tensor([[IMAGE], [5]])
    together, places = reduce_query_tokens(qformer, inputs | {"encoder_attention_mask": mask.long()}, 3)
    short = {key: value[1:] for key, value in inputs.items()}
    short["encoder_hidden_states"] = short["encoder_hidden_states"][:, :5]
    alone, its_places = reduce_query_tokens(qformer, short, 3)
    assert torch.equal(places[1:], its_places)
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-5)


def test_refused() -> None:
    qformer = built(QFORMERS["blip-2"])
    with pytest.raises(InputError, match="inputs: give query_embeds and encoder_hidden_states"):
        reduce_query_tokens(qformer, {"query_embeds": torch.rand(1, 2, 32)}, 1)
    with pytest.raises(ConfigError, match=r"keep=9: .*at most 8"):
        reduce_query_tokens(qformer, inputs_of("blip-2"), 9)
    with pytest.raises(InputError, match=r"has no .* in a module whose name has 'crossattention'"):
        reduce_query_tokens(torch.nn.Linear(2, 2), inputs_of("blip-2"), 1)
