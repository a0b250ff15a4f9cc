"""Token merging: a token that leaves is averaged into the most similar one that stays, so that it is not lost.

Source: the weighted mean of token merging (Bolya et al., "Token Merging: Your ViT But Faster", ICLR 2023), with the
selection's choice of what leaves, and of what may take it. By "keys" rows are compared as there, by "inputs" as the
hidden states that enter the layer. It has no parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.checks import BOOLEAN, Check, one_of
from tokensieve.kernels.cosines import cosine_blocks, cosines
from tokensieve.kernels.ragged import runs
from tokensieve.reduce.contract import COMPARED, Compared
from tokensieve.reduce.merge.contract import NOWHERE, Merge, Merging
from tokensieve.reduce.rows import KeyRows
from tokensieve.tokens import Tokens


@dataclass(frozen=True)
class MostSimilar(Merge):
    """Averages each token that leaves into the most similar one that stays.

    Attributes:
        by: what is compared: the "inputs" of the layer, or its "keys", averaged over the heads.
        proportional: log(n) is added to the logits of a row that stands for n tokens, in all later attention.
    """

    by: Compared = "inputs"
    proportional: bool = False

    name: ClassVar[str] = "most-similar"
    checks: ClassVar[Mapping[str, Check]] = {"by": one_of(COMPARED), "proportional": BOOLEAN}

    @property
    def needs_keys(self) -> bool:
        """Whether keys are compared."""
        return self.by == "keys"

    def merging(self, tokens: Tokens, kept: KeyRows, keys: Tensor | None) -> Merging:
        """Call `most_similar`."""
        takes = None if kept.takes is None else kept.takes[0]
        return most_similar(tokens, kept.rows[0], kept.lengths, takes, keys if self.needs_keys else None)

    def flops(self, hidden_size: int, rows: float, rows_out: float) -> float:
        """The similarity of the rows that leave with those that stay."""
        return 2 * hidden_size * (rows - rows_out) * rows_out


@torch.no_grad()
def most_similar(
    tokens: Tokens, rows: Tensor, lengths: Sequence[int], takes: Tensor | None = None, vectors: Tensor | None = None
) -> Merging:
    """Merge every text row that leaves into the most similar (cosine) unprotected text row of its document.

    Args:
        tokens: the batch before.
        rows: [T'] rows that stay, ascending; combination tokens and protected ones among them take nothing.
        lengths: how many rows of each document stay.
        takes: [T'] bool, which of the rows that stay may take others; None: all.
        vectors: [T, e] that are compared; None: the values.
    """
    stays = torch.zeros_like(tokens.protected).index_fill(0, rows, True)
    taking = (tokens.origin >= 0) & ~tokens.protected
    taking = taking & (stays if takes is None else torch.zeros_like(stays).index_fill(0, rows[takes], True))
    unit = F.normalize((tokens.values if vectors is None else vectors).float(), dim=1)
    into = stays.cumsum(0) - 1  # place among the rows that stay
    start = first = 0
    for run in runs(tokens.lengths, lengths):
        before, after = run.lengths
        end = start + run.documents * before
        if before > after:
            places = torch.arange(start, end, device=rows.device).view(run.documents, before)
            removed = places[~stays[start:end].view_as(places)].view(run.documents, -1)
            kept = places[stays[start:end].view_as(places)].view(run.documents, -1)
            offset = torch.arange(run.documents, device=rows.device).view(-1, 1) * after + first
            for some, part in cosine_blocks(run.documents, before - after, after, rows.device):
                leaving, staying = removed[some, part], kept[some]
                alike = cosines(unit[leaving], unit[staying])
                alike.masked_fill_(~taking[staying].unsqueeze(1), -torch.inf)
                best, place = alike.max(2)
                into[leaving] = torch.where(best.isfinite(), place + offset[some], NOWHERE)
        start, first = end, first + run.documents * after
    return Merging(rows, into)
