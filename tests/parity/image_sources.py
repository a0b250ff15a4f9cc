"""Tiny random models of transformers, one of every family of images that `compress` takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    CLIPConfig,
    CLIPForImageClassification,
    DeiTConfig,
    DeiTForImageClassification,
    Dinov2Config,
    Dinov2ForImageClassification,
    PreTrainedModel,
    ViTConfig,
    ViTForImageClassification,
)

SIDE, LABELS = 24, 3
_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "initializer_range": 0.2,
    "image_size": SIDE,
    "patch_size": 8,
}
_WIDE = {"intermediate_size": 48}


def clip(**changes: Any) -> PreTrainedModel:
    """CLIP's vision tower with a head."""
    return CLIPForImageClassification(CLIPConfig(vision_config=_SIZES | _WIDE | changes, num_labels=LABELS))


IMAGE_SOURCES: dict[str, Callable[[], PreTrainedModel]] = {
    "vit": lambda: ViTForImageClassification(ViTConfig(**_SIZES, **_WIDE, num_labels=LABELS)),
    "vit-relu": lambda: ViTForImageClassification(ViTConfig(**_SIZES, **_WIDE, hidden_act="relu", num_labels=LABELS)),
    "deit": lambda: DeiTForImageClassification(DeiTConfig(**_SIZES, **_WIDE, num_labels=LABELS)),
    "dinov2": lambda: Dinov2ForImageClassification(Dinov2Config(**_SIZES, mlp_ratio=2, num_labels=LABELS)),
    "dinov2-gated": lambda: Dinov2ForImageClassification(
        Dinov2Config(**_SIZES, mlp_ratio=2, use_swiglu_ffn=True, num_labels=LABELS)
    ),
    "clip": clip,
    "clip-gelu": lambda: clip(hidden_act="gelu"),
}


def build_image_source(name: str) -> PreTrainedModel:
    """The model in eval mode, with random biases, norms and layer scales: one that is lost or swapped must show."""
    torch.manual_seed(2)
    source = IMAGE_SOURCES[name]().eval()
    with torch.no_grad():
        for parameter in source.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn_like(parameter)
    return source
