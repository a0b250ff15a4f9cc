"""A large batch, some documents at a time. At inference on CPU more rows win no time, and only cost memory."""

from __future__ import annotations

from itertools import pairwise

import torch

from tokensieve.model.embed import Batch

PART_TOKENS = 1024
"""Of 2048 to 8192 as fast, which take more memory; 512 are a tenth slower (docs/LOG.md)."""


def parts_of(batch: Batch) -> list[Batch]:
    """The batch as runs of documents of at most PART_TOKENS tokens; whole where gradients are on, and off the CPU."""
    if torch.is_grad_enabled() or batch.mask.device.type != "cpu":
        return [batch]
    bounds, taken = [0], 0
    for document, length in enumerate(batch.lengths):
        if taken and taken + length > PART_TOKENS:
            bounds.append(document)
            taken = 0
        taken += length
    bounds.append(len(batch.lengths))
    if len(bounds) == 2:
        return [batch]
    return [_documents(batch, start, end) for start, end in pairwise(bounds)]


def _documents(batch: Batch, start: int, end: int) -> Batch:
    return Batch(*(None if field is None else field[start:end] for field in batch))  # type: ignore[arg-type]
