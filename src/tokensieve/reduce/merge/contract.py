"""The contract of merging: each row that leaves goes into one of the rows that stay."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from tokensieve.reduce.cell import Cell
from tokensieve.reduce.rows import KeyRows
from tokensieve.tokens import Tokens


class Merge(Cell):
    """The fate of the tokens that leave the model; without one they are dropped.

    Attributes:
        proportional: a row that stands for many tokens counts as many keys in later attention.
        band: k, where a row goes only into one near by (`reduce.band`); 0: into any of the document.
    """

    proportional: bool = False
    band: int = 0

    @property
    def needs_keys(self) -> bool:
        """Whether rows are compared by the layer's keys."""
        return False

    @abstractmethod
    def merging(self, tokens: Tokens, kept: KeyRows, keys: Tensor | None) -> Merging:
        """Decide into which row every row of the batch goes.

        Args:
            tokens: the batch before.
            kept: the rows that stay, one set, and which of them may take others.
            keys: [T, d_head] of the rows before, the mean over the heads; None: not `needs_keys`.
        """

    @abstractmethod
    def flops(self, hidden_size: int, rows: float, rows_out: float) -> float:
        """Multiply-adds times two for a document of `rows` rows, of which `rows_out` stay.

        `hidden_size` is d, or the width of a head where rows are compared by keys.
        """


NOWHERE = -1
"""In place of a row: no row stays that could take it."""


@dataclass(frozen=True)
class Merging:
    """The row that stays into which every row of a batch goes.

    Attributes:
        rows: [T'] rows that stay.
        into: [T] int64 place in `rows`: the row's own if it stays, that of the most similar row if it leaves, -1 if no
            row stays that could take it.
    """

    rows: Tensor
    into: Tensor

    def sizes(self, before: Tensor | None) -> Tensor:
        """Tokens that every row stands for, [T'] float32, from those of the rows before, [T] (None: one each)."""
        sizes = torch.ones_like(self.into, dtype=torch.float32) if before is None else before
        return self._sum(sizes.unsqueeze(1)).squeeze(1)

    def means(self, values: Tensor, before: Tensor | None, after: Tensor) -> Tensor:
        """The rows that stay, [T', d] from [T, d], each the mean over all tokens that it now stands for.

        `after` is what `sizes` makes of `before`.
        """
        precise = values.to(torch.promote_types(values.dtype, torch.float32))
        total = self._sum(precise if before is None else precise * before.unsqueeze(1))
        return (total / after.unsqueeze(1)).to(values.dtype)

    def _sum(self, values: Tensor) -> Tensor:
        somewhere = self.into >= 0
        into, values = self.into[somewhere], values[somewhere]
        return values.new_zeros(len(self.rows), values.shape[1]).index_add(0, into, values)
