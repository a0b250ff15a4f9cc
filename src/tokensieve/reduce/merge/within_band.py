"""Local merging: a token that leaves is averaged into the most similar one that stays near by.

Source: Götz et al., "Efficient Time Series Processing for Transformers and State-Space Models through Token Merging"
(ICML 2025), by its abstract; we know of no code. With k = 1 a token
goes into the next one: the order stays, and a row holds no token behind its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tokensieve.checks import BOOLEAN, Check, one_of, whole
from tokensieve.reduce.band import free_tokens, partners
from tokensieve.reduce.contract import COMPARED, Compared
from tokensieve.reduce.merge.contract import NOWHERE, Merge, Merging
from tokensieve.reduce.rows import KeyRows
from tokensieve.tokens import Tokens


@dataclass(frozen=True)
class WithinBand(Merge):
    """Averages each token that leaves into its partner within the band (`reduce.band`); without one it is dropped.

    Attributes:
        band: k, 1 or more; 1: a token goes into the next one.
        by: what is compared: the layer's "keys", averaged over the heads, or the "inputs" of the layer.
        proportional: log(n) is added to the logits of a row that stands for n tokens, in all later attention.
    """

    band: int = 1
    by: Compared = "keys"
    proportional: bool = False

    name: ClassVar[str] = "within-band"
    checks: ClassVar[Mapping[str, Check]] = {"band": whole(1), "by": one_of(COMPARED), "proportional": BOOLEAN}

    @property
    def needs_keys(self) -> bool:
        """Whether keys are compared."""
        return self.by == "keys"

    def merging(self, tokens: Tokens, kept: KeyRows, keys: Tensor | None) -> Merging:
        """Call `within_band`."""
        vectors = tokens.values if keys is None or not self.needs_keys else keys
        return within_band(tokens, kept, vectors, self.band)

    def flops(self, hidden_size: int, rows: float, rows_out: float) -> float:
        """The cosines of the rows that leave with those within the band."""
        return 2 * hidden_size * (rows - rows_out) * min(2 * self.band - 1, rows_out)


@torch.no_grad()
def within_band(tokens: Tokens, kept: KeyRows, vectors: Tensor, band: int) -> Merging:
    """Merge every text row that leaves into its partner among the rows that stay and may take others.

    Args:
        tokens: the batch before.
        kept: the rows that stay, one set, and which of them may take others.
        vectors: [T, e] that are compared.
        band: k.
    """
    rows, nothing = kept.rows[0], torch.zeros_like(tokens.protected)
    stays = nothing.index_fill(0, rows, True)
    takes = stays if kept.takes is None else nothing.index_fill(0, rows[kept.takes[0]], True)
    free = free_tokens(tokens.protected, tokens.lengths, tokens.combination)
    leaving = (~stays[free.rows]).nonzero().squeeze(1)
    found = partners(vectors, free, leaving, band, takes[free.rows])
    into = stays.cumsum(0) - 1  # place among the rows that stay
    into[free.rows[leaving]] = torch.where(found.cosines.isfinite(), into[free.rows[found.places]], NOWHERE)
    return Merging(rows, into)
