"""Which visual tokens stay, by hand, and what they take; against the method written out image by image."""

from typing import Any

import pytest
import torch
from torch import Tensor

from contract.oracle.visual_tokens import prumerge
from tokensieve import ConfigError, InputError
from tokensieve.multimodal import outliers, reduce_visual_tokens, spatial_sample
from tokensieve.tokens import COMBINATION

SETTINGS: dict[str, dict[str, Any]] = {
    "prumerge": {},
    "plus, as in the paper": {"spatial": 1, "supplement": "mean"},
    "plus, as in the code": {"spatial": 3, "rest": True, "neighbours": 5},
    "kept as they are": {"supplement": "none"},
    "no neighbour": {"neighbours": 0},
    "more neighbours than there are": {"neighbours": 1000, "supplement": "mean"},
    "a count": {"count": 5, "neighbours": 4},
    "a count and as many more": {"count": 4, "spatial": 1, "rest": True},
    "a fence of nothing": {"fence": 0.0},
}
each_setting = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


def image(tokens: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Features, attention with a few high values, and keys."""
    generator = torch.Generator().manual_seed(seed)
    attention = (2 * torch.randn(tokens, generator=generator)).softmax(0)
    return torch.randn(tokens, 6, generator=generator), attention, torch.randn(tokens, 4, generator=generator)


@each_setting
@pytest.mark.parametrize("tokens", [1, 2, 7, 49])
def test_against_the_oracle(settings: dict[str, Any], tokens: int) -> None:
    hidden, attention, keys = image(tokens, seed=tokens)
    found = reduce_visual_tokens([hidden], [attention], [keys], **settings)
    values, places = prumerge(hidden, attention, keys, **settings)
    assert found.origin.tolist() == places + [COMBINATION] * settings.get("rest", False)
    torch.testing.assert_close(found.values, torch.stack(values), atol=1e-5, rtol=1e-5)
    assert found.lengths == (len(values),)
    assert found.combination == settings.get("rest", False)


@each_setting
def test_an_image_does_not_see_its_batch(settings: dict[str, Any]) -> None:
    """Quartiles are those of an image; counts differ between images, which may be of different sizes, too."""
    images = [image(tokens, seed) for seed, tokens in enumerate((30, 30, 9, 1))]
    together = reduce_visual_tokens(*map(list, zip(*images, strict=True)), **settings)  # type: ignore[call-overload]
    alone = [reduce_visual_tokens([a], [b], [c], **settings) for a, b, c in images]
    assert torch.equal(together.values, torch.cat([own.values for own in alone]))
    assert together.lengths == tuple(own.lengths[0] for own in alone)


def test_a_batch_is_a_tensor_too() -> None:
    images = [image(30, seed) for seed in range(3)]
    hidden, attention, keys = (torch.stack(part) for part in zip(*images, strict=True))
    found = reduce_visual_tokens(hidden, attention, keys)
    assert len({*found.lengths}) > 1, "counts are adaptive"
    assert torch.equal(found.values, reduce_visual_tokens(*map(list, (hidden, attention, keys))).values)


def test_outliers_by_hand() -> None:
    """Quartiles 2 and 4: the fence is 4 + 1.5 * 2 = 7, which 7 does not exceed."""
    attention = torch.tensor([1.0, 2.0, 3.0, 4.0, 7.0])
    assert outliers(attention).tolist() == [4], "there is none, so the highest stands for all"
    assert outliers(torch.tensor([1.0, 2.0, 3.0, 4.0, 7.5])).tolist() == [4]
    assert outliers(attention, fence=0.0).tolist() == [4]
    assert outliers(torch.tensor([9.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 8.0])).tolist() == [0, 7]
    assert outliers(torch.ones(5)).tolist() == [0]


def test_spatial_sample() -> None:
    assert spatial_sample(10, 4, torch.tensor([2, 9])).tolist() == [0, 5, 7]
    assert spatial_sample(3, 9, torch.tensor([1])).tolist() == [0, 2]
    assert spatial_sample(3, 0, torch.tensor([1])).tolist() == []


def test_bfloat16_stays() -> None:
    hidden, attention, keys = (part.bfloat16() for part in image(30))
    found = reduce_visual_tokens([hidden], [attention], [keys], spatial=1, rest=True)
    assert found.values.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "count=0: give a whole number of 1 or more"),
        ({"spatial": -1}, "spatial=-1"),
        ({"neighbours": 1.5}, "neighbours=1.5"),
        ({"supplement": "max"}, "supplement='max': choose one of 'sum', 'mean', 'none'"),
        ({"fence": -0.5}, "fence=-0.5"),
    ],
)
def test_settings_out_of_range(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        reduce_visual_tokens(*([part] for part in image(9)), **change)


def test_wrong_images() -> None:
    hidden, attention, keys = image(9)
    with pytest.raises(InputError, match=r"image 0: hidden \[9, 6\], attention \[8\], keys \[9, 4\]: give"):
        reduce_visual_tokens([hidden], [attention[1:]], [keys])
    with pytest.raises(InputError, match="hidden, attention and keys are of 1, 2, 1 images"):
        reduce_visual_tokens([hidden], [attention, attention], [keys])
    with pytest.raises(InputError, match="there is no image"):
        reduce_visual_tokens([], [], [])
    with pytest.raises(InputError, match="image 0 has no token"):
        reduce_visual_tokens([hidden[:0]], [attention[:0]], [keys[:0]])
    with pytest.raises(InputError, match="image 0: attention or keys are not finite"):
        reduce_visual_tokens([hidden], [attention * torch.nan], [keys])
