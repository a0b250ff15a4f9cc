"""A prompt with fewer visual tokens: their vectors take the place of the placeholders, which are more."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from tokensieve.errors import InputError


def place_visual_tokens(
    embeddings: Tensor,
    input_ids: Tensor,
    features: Sequence[Tensor],
    *,
    image_token_id: int,
    placeholders: int,
    attention_mask: Tensor | None = None,
) -> dict[str, Tensor]:
    """Put visual tokens into prompts, as many as there are; placeholders beyond them are gone, and not masked.

    Args:
        embeddings: [B, L, d], the vectors of the ids.
        input_ids: [B, L], in which each image has `placeholders` ids `image_token_id`.
        features: the visual tokens [m, d] of each image, in the order of the prompts; m differs between images.
        image_token_id: the placeholder.
        placeholders: how many of them each image has in the ids.
        attention_mask: [B, L], 0 for padding, which is left out; None: there is none.

    Returns:
        `inputs_embeds` [B, L', d], `attention_mask` and `position_ids` [B, L'], for a language model's `generate` or
        `forward`. Prompts shorter than the longest are padded on the left.

    Raises:
        InputError: the placeholders in the ids are not those of the images, or vectors of other sizes.
    """
    if embeddings.dim() != 3 or embeddings.shape[:2] != input_ids.shape:
        raise InputError(
            f"embeddings {list(embeddings.shape)} with input_ids {list(input_ids.shape)}: give [B, L, d] and [B, L]"
        )
    kept = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
    waiting, rows = list(features), []
    for number, (vectors, ids, mask) in enumerate(zip(embeddings, input_ids, kept, strict=True)):
        rows.append(_row(number, vectors[mask], ids[mask].tolist(), waiting, image_token_id, placeholders))
    if waiting:
        raise InputError(f"{len(features)} images, {len(waiting)} of which have no place: give each its placeholders")
    width = max(map(len, rows))
    padded = embeddings.new_zeros(len(rows), width, embeddings.shape[2])
    there = input_ids.new_zeros(len(rows), width)
    for number, row in enumerate(rows):
        padded[number, width - len(row) :], there[number, width - len(row) :] = row, 1
    return {"inputs_embeds": padded, "attention_mask": there, "position_ids": (there.cumsum(1) - 1).clamp(min=0)}


def _row(
    number: int, vectors: Tensor, ids: list[int], waiting: list[Tensor], image_token_id: int, placeholders: int
) -> Tensor:
    """One prompt [L', d]; takes its images from the front of those that wait."""
    parts, start = [], 0
    for is_image, run in groupby(ids, key=lambda token: token == image_token_id):
        length = sum(1 for _ in run)
        if not is_image:
            parts.append(vectors[start : start + length])
        elif length % placeholders or length // placeholders > len(waiting):
            raise InputError(
                f"prompt {number} has {length} placeholders in a row, {placeholders} for each image, and "
                f"{len(waiting)} images are left: give as many images as the prompts ask for"
            )
        else:
            images = [waiting.pop(0) for _ in range(length // placeholders)]
            if any(image.dim() != 2 or image.shape[1] != vectors.shape[1] for image in images):
                raise InputError(
                    f"prompt {number}: an image of vectors {list(images[0].shape)}: give [m, {vectors.shape[1]}], as "
                    "the projector of the model makes them"
                )
            parts += [image.to(vectors) for image in images]
        start += length
    return torch.cat(parts)
