"""A large batch, some documents at a time. At inference on CPU more rows win no time, and only cost memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

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
    return [documents_of(batch, range(start, end)) for start, end in pairwise(bounds)]


def documents_of(batch: Batch, documents: Sequence[int]) -> Batch:
    """Some documents of a batch, in this order."""
    rows = torch.tensor(documents, device=batch.mask.device)
    fields = {name: field[rows] for name, field in batch._asdict().items() if isinstance(field, Tensor)}
    return batch._replace(**fields, lengths=tuple(batch.lengths[document] for document in documents))
