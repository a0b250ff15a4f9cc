"""Token merging: a token that leaves is averaged into the most similar one that stays, so that it is not lost.

Source: the weighted mean of token merging (Bolya et al., "Token Merging: Your ViT But Faster", ICLR 2023), with the
selection's choice of what leaves in place of its matching of pairs, and the hidden states in place of the keys as what
is compared. It has no parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.kernels.ragged import runs
from tokensieve.reduce.merge.contract import Merge, Merging
from tokensieve.tokens import Tokens

_NOWHERE = -1


@dataclass(frozen=True)
class MostSimilar(Merge):
    """Averages each token that leaves into the most similar one that stays."""

    name: ClassVar[str] = "most-similar"

    def merging(self, tokens: Tokens, rows: Tensor, lengths: Sequence[int]) -> Merging:
        """Call `most_similar`."""
        return most_similar(tokens, rows, lengths)

    def flops(self, hidden_size: int, rows: float, rows_out: float) -> float:
        """The similarity of the rows that leave with those that stay."""
        return 2 * hidden_size * (rows - rows_out) * rows_out


@torch.no_grad()
def most_similar(tokens: Tokens, rows: Tensor, lengths: Sequence[int]) -> Merging:
    """Merge every text row that leaves into the most similar (cosine) unprotected text row of its document.

    Args:
        tokens: the batch before.
        rows: [T'] rows that stay, ascending; combination tokens and protected ones among them take nothing.
        lengths: how many rows of each document stay.
    """
    stays = torch.zeros_like(tokens.protected).index_fill(0, rows, True)
    text = tokens.origin >= 0
    takes = stays & text & ~tokens.protected
    unit = F.normalize(tokens.values.float(), dim=1)
    into = stays.cumsum(0) - 1  # place among the rows that stay
    start = first = 0
    for run in runs(tokens.lengths, lengths):
        before, after = run.lengths
        end = start + run.documents * before
        if before > after:
            places = torch.arange(start, end, device=rows.device).view(run.documents, before)
            removed = places[~stays[start:end].view_as(places)].view(run.documents, -1)
            kept = places[stays[start:end].view_as(places)].view(run.documents, -1)
            alike = torch.bmm(unit[removed], unit[kept].transpose(1, 2))
            alike.masked_fill_(~takes[kept].unsqueeze(1), -torch.inf)
            best, place = alike.max(2)
            offset = torch.arange(run.documents, device=rows.device).view(-1, 1) * after + first
            into[removed] = torch.where(best.isfinite(), place + offset, _NOWHERE)
        start, first = end, first + run.documents * after
    return Merging(rows, into)
