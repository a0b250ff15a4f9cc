"""Cosines of vectors, on a grid: equal vectors tie whatever batch they were computed in.

A word that is said twice has the same key twice, where keys know no position. Products of matrices add up in another
order for other numbers of rows, so that such keys differ in the last bits. Without a grid these bits would choose.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK_ELEMENTS, _BLOCK_ELEMENTS_GPU = 1 << 20, 1 << 26

GRID = 2.0**14
"""Steps in 1: a hundred times as coarse as the noise of float32. 1, the cosine of equal vectors, is on the grid."""


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """Cosines [..., n, m] float32 of unit vectors [..., n, e] with unit vectors [..., m, e], on the grid."""
    with torch.autocast(first.device.type, enabled=False):  # coarser cosines would be equal ones
        return on_grid(first @ second.transpose(-1, -2))


def on_grid(values: Tensor) -> Tensor:
    """The nearest values on the grid; `values` are changed in place."""
    return values.mul_(GRID).round_().div_(GRID)


def cosine_blocks(documents: int, rows: int, columns: int, device: torch.device) -> list[tuple[slice, slice]]:
    """Slices of the documents and of their rows, for matrices of cosines [documents, rows, columns].

    All cosines of a document of 8,192 tokens would be 256 MB. A block is small enough for the processor's cache.
    """
    most = _BLOCK_ELEMENTS if device.type == "cpu" else _BLOCK_ELEMENTS_GPU
    together, at_once = max(1, most // max(1, rows * columns)), max(1, most // max(1, columns))
    return [
        (slice(first, first + together), slice(row, min(row + at_once, rows)))
        for first in range(0, documents, together)
        for row in range(0, rows, at_once)
    ]
