"""With nothing reduced, models of images answer as those of transformers, from memory and from a folder."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    CLIPVisionModel,
    DeiTConfig,
    DeiTForImageClassificationWithTeacher,
    PreTrainedModel,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
)

from parity.image_sources import IMAGE_SOURCES, LABELS, SIDE, build_image_source
from tokensieve import CheckpointError, ConfigError, Deferral, ReductionConfig, TokensieveModel, compress, load
from tokensieve.backbones import compress_body

DENSE = ReductionConfig.preset("dense")

each_source = pytest.mark.parametrize("name", IMAGE_SOURCES)


def pixels(height: int = SIDE, width: int = SIDE) -> torch.Tensor:
    return torch.randn(3, 3, height, width, generator=torch.Generator().manual_seed(0))


def agree(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert theirs.std() > 0.05, "numbers this small agree whatever the model does"
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def body_of(source: PreTrainedModel) -> Any:
    return next(getattr(source, name) for name in ("vit", "deit", "dinov2", "vision_model") if hasattr(source, name))


@each_source
@torch.no_grad()
def test_logits(name: str) -> None:
    source = build_image_source(name)
    agree(compress(source, DENSE)(pixels()).logits, source(pixels()).logits)


@each_source
@torch.no_grad()
def test_other_sizes_interpolate_the_positions(name: str) -> None:
    """Wide and high images, and pixels beyond the last whole patch."""
    source = build_image_source(name)
    ours, theirs = compress_body(source, DENSE), body_of(source)
    flag = {} if name.startswith("dinov2") else {"interpolate_pos_encoding": True}
    for size in ((16, 40), (32, 24), (35, 29)):
        agree(ours(pixel_values=pixels(*size)).last_hidden_state, theirs(pixels(*size), **flag).last_hidden_state)


@each_source
@torch.no_grad()
def test_from_a_folder(name: str, tmp_path: Path) -> None:
    source = build_image_source(name)
    source.save_pretrained(tmp_path)
    model = compress(tmp_path, DENSE)
    agree(model(pixels()).logits, source(pixels()).logits)
    assert model.config.num_labels == LABELS


@torch.no_grad()
def test_bodies_without_a_head(tmp_path: Path) -> None:
    for name, kind in (("vit", ViTModel), ("clip", CLIPVisionModel)):
        body = body_of(build_image_source(name))
        assert isinstance(body, kind)
        ours = compress_body(body, DENSE)
        assert isinstance(ours, TokensieveModel)
        agree(ours(pixel_values=pixels()).last_hidden_state, body(pixels()).last_hidden_state)
        assert compress(body, DENSE, num_labels=7)(pixels()).logits.shape == (3, 7)


def test_loss() -> None:
    source, labels = build_image_source("vit"), torch.tensor([0, 2, 1])
    ours = compress(source, DENSE)(pixels(), labels=labels).loss
    torch.testing.assert_close(ours, source(pixels(), labels=labels).loss, atol=1e-5, rtol=0)


def test_two_heads_are_refused(tmp_path: Path) -> None:
    """DeiT's classifier that averages a head on each of its special tokens."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "image_size": 16, "patch_size": 8}
    source = DeiTForImageClassificationWithTeacher(DeiTConfig(**sizes))
    source.save_pretrained(tmp_path)
    for given in (source, tmp_path):
        with pytest.raises(CheckpointError, match=r"load it as DeiTForImageClassification, or give its body"):
            compress(given, DENSE)


def test_what_is_not_computed_is_refused(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "image_size": 16, "patch_size": 8}
    with pytest.raises(CheckpointError, match="qkv_bias=False: attention without these biases"):
        compress(ViTForImageClassification(ViTConfig(**sizes, qkv_bias=False)), DENSE)
    with pytest.raises(CheckpointError, match="no patch fits in"):
        compress(build_other(16, 32), DENSE)
    with pytest.raises(ConfigError, match=r"defer\.share=0\.1 with the family vit: cascades are of texts"):
        compress(build_image_source("vit"), ReductionConfig(defer=Deferral(0.1)))
    compress(build_image_source("vit"), DENSE).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="an image classifier, and this serves texts"):
        load(tmp_path)


def build_other(image: int, patch: int) -> PreTrainedModel:
    model = build_image_source("vit")
    model.config.image_size, model.config.patch_size = image, patch
    return model
