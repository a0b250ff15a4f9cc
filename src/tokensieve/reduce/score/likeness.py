"""Numbers of tokens that follow from the cosines of their keys, which are taken in blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.kernels.cosines import cosine_blocks, cosines
from tokensieve.kernels.ragged import runs
from tokensieve.reduce.contract import KeyVectors


class Cosines(NamedTuple):
    """The cosines of some tokens with all tokens of their documents, for D documents of n text tokens.

    Attributes:
        values: [D, some, n] float32.
        rows: which of the n tokens they are of.
        free: [D, n] bool, the tokens that may leave.
    """

    values: Tensor
    rows: slice
    free: Tensor


@torch.no_grad()
def from_cosines(seen: KeyVectors, number: Callable[[Cosines], Tensor]) -> Tensor:
    """A number for each key, [1, K] float32; 0 for combination tokens.

    Args:
        seen: the keys.
        number: gives [D, some] of a block of cosines.
    """
    unit, found, start = F.normalize(seen.vectors.float(), dim=1), seen.vectors.new_zeros(len(seen.vectors)).float(), 0
    for run in runs(seen.lengths):
        length, end = run.lengths[0], start + run.documents * run.lengths[0]
        text = length - seen.combination
        own = unit[start:end].view(run.documents, length, -1)[:, :text]
        free = ~seen.protected[start:end].view(run.documents, length)[:, :text]
        into = found[start:end].view(run.documents, length)[:, :text]
        for documents, rows in cosine_blocks(run.documents, text, text, unit.device):
            alike = cosines(own[documents, rows], own[documents])
            into[documents, rows] = number(Cosines(alike, rows, free[documents]))
        start = end
    return found.unsqueeze(0)
