"""Small moves on packed rows: where the rows of a document are, and padding of per-token scalars for selection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor


class Run(NamedTuple):
    """Consecutive documents of equal lengths: one dense operation serves them all, without padding."""

    documents: int
    lengths: tuple[int, ...]  # of each of them, one per operand (queries, keys)


def runs(*lengths: Sequence[int]) -> Iterator[Run]:
    """Group consecutive documents whose lengths agree in every operand."""
    for key, group in groupby(zip(*lengths, strict=True)):
        yield Run(sum(1 for _ in group), key)


class Slots:
    """Where packed rows go in a right-padded [B, L] layout, for work on scalars such as scores.

    Args:
        lengths: rows of each document.
        device: where the index tensors live.
    """

    def __init__(self, lengths: Sequence[int], device: torch.device) -> None:
        counts = torch.tensor(lengths, device=device)
        self.documents, self.width = len(lengths), max(lengths)
        self.counts = counts
        documents = torch.arange(len(lengths), device=device)
        self.document = torch.repeat_interleave(documents, counts, output_size=sum(lengths))
        starts = counts.cumsum(0) - counts
        self.offset = torch.arange(len(self.document), device=device) - starts[self.document]

    def pad(self, packed: Tensor, fill: float) -> Tensor:
        """Packed scalars [S, T] to [B, S, L], `fill` where there is no token."""
        padded = packed.new_full((self.documents, packed.shape[0], self.width), fill)
        padded[self.document, :, self.offset] = packed.T
        return padded

    def unpad(self, padded: Tensor) -> Tensor:
        """[B, S, L] back to packed [S, T]."""
        return padded[self.document, :, self.offset].T


def document_means(values: Tensor, lengths: Sequence[int]) -> Tensor:
    """Mean of each document's rows: [T, d] to [B, d], summed in float32 or better."""
    precise = torch.promote_types(values.dtype, torch.float32)
    means = [
        block.view(run.documents, run.lengths[0], -1).mean(1, dtype=precise) for run, block in zip_runs(values, lengths)
    ]
    return torch.cat(means).to(values.dtype)


def zip_runs(values: Tensor, lengths: Sequence[int]) -> Iterator[tuple[Run, Tensor]]:
    """Each run of equal lengths with its rows, views of values [T, ...]."""
    start = 0
    for run in runs(lengths):
        rows = run.documents * run.lengths[0]
        yield run, values[start : start + rows]
        start += rows
