"""Cosines of vectors, on a grid: equal vectors tie whatever batch they were computed in.

A word that is said twice has the same key twice, where keys know no position. Products of matrices add up in another
order for other numbers of rows, so that such keys differ in the last bits. Without a grid these bits would choose.
"""

from __future__ import annotations

import torch
from torch import Tensor

GRID = 2.0**14
"""Steps in 1: a hundred times as coarse as the noise of float32. 1, the cosine of equal vectors, is on the grid."""


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """Cosines [..., n, m] float32 of unit vectors [..., n, e] with unit vectors [..., m, e], on the grid."""
    with torch.autocast(first.device.type, enabled=False):  # coarser cosines would be equal ones
        return on_grid(first @ second.transpose(-1, -2))


def on_grid(values: Tensor) -> Tensor:
    """The nearest values on the grid; `values` are changed in place."""
    return values.mul_(GRID).round_().div_(GRID)
