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
    """The places of packed text rows in a right-padded [B, L] layout, for work on scalars such as scores.

    Documents of equal lengths need no indices: their layout is a view.

    Args:
        lengths: rows of each document.
        combination: rows at the end of each document that are no text, and have no slot.
        device: where the index tensors live.
    """

    def __init__(self, lengths: Sequence[int], combination: int, device: torch.device) -> None:
        text = [length - combination for length in lengths]
        self.documents, self.width = len(lengths), max(text)
        self.equal, self.rows = len(set(lengths)) == 1, sum(lengths)
        if not self.equal:
            counts = torch.tensor(text, device=device)
            self.document = torch.repeat_interleave(counts, output_size=sum(text))
            starts = counts.cumsum(0) - counts
            place = torch.arange(len(self.document), device=device)
            self.offset = place - starts[self.document]
            self.row = place + combination * self.document
        self.alive = self.pad(torch.ones(1, self.rows, dtype=torch.bool, device=device), False)
        """[B, 1, L] bool: slots that hold a row."""

    def pad(self, packed: Tensor, fill: float) -> Tensor:
        """Packed scalars [S, T] to [B, S, L], those of text rows, `fill` where there is none."""
        if self.equal:
            return packed.view(len(packed), self.documents, -1)[..., : self.width].transpose(0, 1)
        padded = packed.new_full((self.documents, packed.shape[0], self.width), fill)
        padded[self.document, :, self.offset] = packed[:, self.row].T
        return padded

    def unpad(self, padded: Tensor, fill: float) -> Tensor:
        """[B, S, L] back to packed [S, T], `fill` in the rows that are no text."""
        packed = padded.new_full((padded.shape[1], self.rows), fill)
        if self.equal:
            packed.view(len(packed), self.documents, -1)[..., : self.width] = padded.transpose(0, 1)
        else:
            packed[:, self.row] = padded[self.document, :, self.offset].T
        return packed


def document_means(values: Tensor, lengths: Sequence[int], weights: Tensor | None = None) -> Tensor:
    """Mean of each document's rows: [T, d] to [B, d], summed in float32 or better; weighted where `weights` [T] are."""
    precise = torch.promote_types(values.dtype, torch.float32)
    if weights is not None:
        scale = weights.unsqueeze(1).to(precise)
        return (document_means(values * scale, lengths) / document_means(scale, lengths)).to(values.dtype)
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
