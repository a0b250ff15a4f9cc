"""Images: the pixel values of a batch, checked before the first layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tokensieve.errors import InputError
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.grid import PatchGrid


class Images(NamedTuple):
    """A batch of images, those of one size together.

    Attributes:
        stacks: [n, channels, height, width] for each size in the batch.
        places: for each stack, where its images stand in the batch.
        lengths: tokens of each image, in the order of the batch.
    """

    stacks: tuple[Tensor, ...]
    places: tuple[tuple[int, ...], ...]
    lengths: tuple[int, ...]


def check_images(config: TokensieveConfig, pixel_values: Tensor | Sequence[Tensor] | None) -> Images:
    """Check the pixel values that an image processor made.

    Args:
        config: of a model that reads images.
        pixel_values: [B, channels, height, width], or for images of different sizes a list of [channels, height,
            width].

    Raises:
        InputError: none given, no image, another shape or number of channels, no floating point numbers, or an image
            that is smaller than a patch or has more patches than the model takes.
    """
    grid = config.grid
    if grid is None:
        raise InputError(f"pixel_values are given, and the family {config.family} reads texts: give input_ids")
    if pixel_values is None:
        raise InputError(
            f"the family {config.family} reads images: give pixel_values, as its image processor makes them"
        )
    if isinstance(pixel_values, Tensor):
        if pixel_values.dim() != 4 or not len(pixel_values):
            raise InputError(
                f"pixel_values has shape {tuple(pixel_values.shape)}: give [images, {grid.channels}, height, width] of "
                "one image or more"
            )
        lengths = (_tokens(config, grid, 0, pixel_values[0]),) * len(pixel_values)
        return Images((pixel_values,), (tuple(range(len(pixel_values))),), lengths)
    if not len(pixel_values):
        raise InputError("pixel_values is empty: give one image or more")
    lengths = tuple(_tokens(config, grid, number, image) for number, image in enumerate(pixel_values))
    alike: dict[tuple[int, ...], list[int]] = {}
    for number, image in enumerate(pixel_values):
        alike.setdefault(tuple(image.shape), []).append(number)
    stacks = tuple(torch.stack([pixel_values[number] for number in numbers]) for numbers in alike.values())
    return Images(stacks, tuple(map(tuple, alike.values())), lengths)


def refuse_text(config: TokensieveConfig, *inputs: object) -> None:
    """Raise InputError if inputs of a text are given beside, or in place of, images."""
    if any(own is not None for own in inputs):
        raise InputError(f"the family {config.family} reads images: give pixel_values alone")


def _tokens(config: TokensieveConfig, grid: PatchGrid, number: int, image: object) -> int:
    """The tokens of one image."""
    name = f"image {number} of pixel_values"
    if not isinstance(image, Tensor) or image.dim() != 3 or len(image) != grid.channels:
        told = f"has shape {tuple(image.shape)}" if isinstance(image, Tensor) else f"is a {type(image).__name__}"
        raise InputError(f"{name} {told}: give a tensor [{grid.channels}, height, width]")
    if not image.is_floating_point():
        raise InputError(
            f"{name} has numbers of type {image.dtype}: give floats, as the model's image processor makes them"
        )
    height, width = image.shape[1:]
    rows, columns = grid.cells(height, width)
    if not rows or not columns:
        raise InputError(
            f"{name} has {height} x {width} pixels, and a patch {grid.patch_size[0]} x {grid.patch_size[1]}: give "
            "larger images"
        )
    tokens = grid.special + rows * columns
    if tokens > config.longest_document:
        raise InputError(f"{name} has {tokens} tokens, the model takes {config.longest_document}: give smaller images")
    return tokens
