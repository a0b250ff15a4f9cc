"""Tiny random models of the families that read images, and batches of images of unequal sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from contract.variants import DEPTH, HEADS, LABELS, WIDTH
from tokensieve import ReductionConfig, TokensieveConfig, TokensieveForImageClassification
from tokensieve.backbones import IMAGE_BACKBONES
from tokensieve.reduce.score.learned import Importance

SIDE, PATCH = 24, 4
SIZES = ((SIDE, SIDE), (9, 13), (4, 4), (20, 31), (24, 24))
"""Height and width of the images of the usual batch: 36 patches, 2 x 3, one alone, 5 x 7, and 36 again."""
_SMALL: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": HEADS,
    "image_size": SIDE,
    "patch_size": PATCH,
}


def _sizes(kind: str, **changes: Any) -> dict[str, Any]:
    own = {"mlp_ratio": 2} if kind == "dinov2" else {"intermediate_size": 2 * WIDTH}
    given = _SMALL | own | changes
    config = CONFIG_MAPPING[kind](**({"vision_config": given} if kind == "clip" else given))
    return IMAGE_BACKBONES[kind].sizes(config) | {"initializer_range": 0.3}


IMAGE_FAMILIES = {kind: _sizes(kind) for kind in IMAGE_BACKBONES} | {
    "dinov2-gated": _sizes("dinov2", use_swiglu_ffn=True)
}


def tiny_vision(reduction: ReductionConfig, **sizes: Any) -> TokensieveForImageClassification:
    """The model in eval mode; biases and layer scale are random too: one left out must show."""
    torch.manual_seed(1)
    config = TokensieveConfig(reduction=reduction, num_labels=LABELS, **sizes)
    model = TokensieveForImageClassification(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("bias", ".scale")):
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
        for module in model.modules():
            if isinstance(module, Importance):
                module.weight.normal_()
    return model


def images(sizes: Sequence[tuple[int, int]] = SIZES, seed: int = 0) -> list[Tensor]:
    """Random images [3, height, width] of these sizes."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3, *size, generator=generator) for size in sizes]
