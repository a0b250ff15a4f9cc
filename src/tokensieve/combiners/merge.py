"""Token merging: a token that leaves is averaged into the most similar one that stays, so that it is not lost.

Source: the weighted mean of token merging (Bolya et al., "Token Merging: Your ViT But Faster", ICLR 2023), with the
reducer's choice of what leaves in place of its matching of pairs, and the hidden states in place of the keys as what is
compared. It has no parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.kernels.ragged import runs
from tokensieve.tokens import Tokens

_NOWHERE = -1


@dataclass(frozen=True)
class Merging:
    """Which of the rows that stay every row of a batch goes into.

    Attributes:
        rows: [T'] rows that stay.
        into: [T] int64 place in `rows`: a row's own where it stays, the most similar one's where it leaves, -1 where
            nothing stays that could take it.
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


@torch.no_grad()
def most_similar(tokens: Tokens, rows: Tensor, lengths: Sequence[int]) -> Merging:
    """Let every text row that leaves go into the unprotected text row of its document that is most similar (cosine).

    Args:
        tokens: the batch before.
        rows: [T'] rows that stay, ascending; combination tokens and protected ones among them take nothing.
        lengths: rows of each document that stay.
    """
    stays = torch.zeros_like(tokens.protected).index_fill(0, rows, True)
    text = tokens.origin >= 0
    takes = stays & text & ~tokens.protected
    unit = F.normalize(tokens.values.float(), dim=1)
    into = stays.cumsum(0) - 1  # of the rows that stay
    start = first = 0
    for run in runs(tokens.lengths, lengths):
        before, after = run.lengths
        end = start + run.documents * before
        if before > after:
            places = torch.arange(start, end, device=rows.device).view(run.documents, before)
            leaving = places[~stays[start:end].view_as(places)].view(run.documents, -1)
            staying = places[stays[start:end].view_as(places)].view(run.documents, -1)
            alike = torch.bmm(unit[leaving], unit[staying].transpose(1, 2))
            alike.masked_fill_(~takes[staying].unsqueeze(1), -torch.inf)
            best, place = alike.max(2)
            own = torch.arange(run.documents, device=rows.device).view(-1, 1) * after + first
            into[leaving] = torch.where(best.isfinite(), place + own, _NOWHERE)
        start, first = end, first + run.documents * after
    return Merging(rows, into)
