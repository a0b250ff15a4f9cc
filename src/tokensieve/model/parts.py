"""A large batch, some documents at a time. At inference on CPU more rows win no time, and only cost memory."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import ceil

import torch
from torch import Tensor

from tokensieve.model.batch import Batch
from tokensieve.model.side_by_side import MOST_TOGETHER

PART_TOKENS = 1024
"""Of 2048 to 8192 as fast, which take more memory; 512 are a tenth slower (docs/LOG.md)."""


def parts_of(batch: Batch, going_on: Sequence[int] | None = None) -> list[Batch]:
    """The batch as runs of documents of about PART_TOKENS tokens at most; whole where gradients are on, and off the
    CPU. With several threads they are a multiple of as many as run side by side, and none waits long for another.

    Args:
        batch: of any size.
        going_on: of each document the tokens that count, where others leave ahead of the first layer; None: all.
    """
    if torch.is_grad_enabled() or batch.mask.device.type != "cpu":
        return [batch]
    sizes = batch.lengths if going_on is None else going_on
    tokens = sum(sizes)
    together = max(1, min(torch.get_num_threads(), MOST_TOGETHER, tokens // (PART_TOKENS // 2)))
    bounds = _bounds(sizes, ceil(tokens / PART_TOKENS / together) * together)
    if len(bounds) == 2:
        return [batch]
    return [documents_of(batch, range(start, end)) for start, end in pairwise(bounds)]


def _bounds(sizes: Sequence[int], parts: int) -> list[int]:
    """Where parts of about the same number of tokens begin, and the end; fewer parts where documents are long."""
    before = [0, *accumulate(sizes)]

    def nearest(tokens: float) -> int:
        after = bisect_left(before, tokens)
        return after if before[after] - tokens <= tokens - before[max(after - 1, 0)] else after - 1

    return sorted({nearest(before[-1] * part / parts) for part in range(parts + 1)})


def documents_of(batch: Batch, documents: Sequence[int]) -> Batch:
    """Some documents of a batch, in this order."""
    rows = torch.tensor(documents, device=batch.mask.device)
    fields = {name: field[rows] for name, field in batch._asdict().items() if isinstance(field, Tensor)}
    return batch._replace(**fields, lengths=tuple(batch.lengths[document] for document in documents))
