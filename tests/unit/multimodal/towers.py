"""Tiny vision towers, LLaVA and Q-Formers of transformers, with random weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    Blip2QFormerConfig,
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    InstructBlipQFormerConfig,
    InstructBlipQFormerModel,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    ViTConfig,
    ViTModel,
)
from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerModel

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 28,
    "patch_size": 4,
    "initializer_range": 0.3,
}
PATCHES, IMAGE = 49, 99
TOWERS = {
    "clip": lambda: CLIPVisionModel(CLIPVisionConfig(**SIZES, initializer_factor=5.0)),
    "dinov2": lambda: Dinov2Model(Dinov2Config(**SIZES)),
    "dinov2 with registers": lambda: Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**SIZES)),
    "vit": lambda: ViTModel(ViTConfig(**SIZES)),
}
_QFORMER: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "encoder_hidden_size": 16,
    "initializer_range": 0.3,
}
QFORMERS = {
    "blip-2": lambda: Blip2QFormerModel(Blip2QFormerConfig(**_QFORMER)),
    "instructblip": lambda: InstructBlipQFormerModel(InstructBlipQFormerConfig(vocab_size=50, **_QFORMER)),
}


def built(make: Any) -> Any:
    """A model in eval mode, always the same."""
    torch.manual_seed(0)
    return make().eval()


def llava(**changes: Any) -> Any:
    """A LLaVA of a CLIP tower and a Llama of two layers."""
    text = LlamaConfig(
        vocab_size=100, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, initializer_range=0.3, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    vision = CLIPVisionConfig(**SIZES, initializer_factor=5.0)
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_id=IMAGE, image_seq_length=PATCHES, **changes
    )
    return built(lambda: LlavaForConditionalGeneration(config))


def pictures(number: int, size: int = 28) -> torch.Tensor:
    """[number, 3, size, size]."""
    return torch.randn(number, 3, size, size, generator=torch.Generator().manual_seed(3))
