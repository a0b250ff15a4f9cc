"""Pairs: tokens leave so that each can be merged into a partner that stays.

Source: "alternate", the bipartite soft matching of token merging (Bolya et al., ICLR 2023); "next", the energy-based
matching of PiToMe (Tran et al., NeurIPS 2024). At most half of the tokens that may leave do so in one layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from tokensieve.checks import Check, one_of, whole
from tokensieve.reduce.contract import Scored, Select
from tokensieve.reduce.halves import second_half
from tokensieve.reduce.schedule import next_count
from tokensieve.reduce.select.ranking import keep_top, ranks

Targets = Literal["alternate", "next"]


@dataclass(frozen=True)
class Pairs(Select):
    """Keeps max(floor(t p), t - floor(f / 2)) of t tokens, of which f are not protected; the lowest scores leave.

    Attributes:
        targets: into which tokens those that leave may be merged. "alternate": into every other token that is not
            protected, and these stay; "next": into as many as leave, those that score next.
        min_tokens: minimum number of tokens kept per document, 1 or more.
    """

    targets: Targets = "alternate"
    min_tokens: int = 1

    name: ClassVar[str] = "pairs"
    checks: ClassVar[Mapping[str, Check]] = {"targets": one_of(get_args(Targets)), "min_tokens": whole(1)}

    def counts(self, lengths: Sequence[int], protected_counts: Sequence[int], share: Fraction) -> tuple[int, ...]:
        """The exact counts."""
        pairs = zip(lengths, protected_counts, strict=True)
        return tuple(self.bounds(length, protected, share)[0] for length, protected in pairs)

    def select(self, scored: Scored, share: Fraction) -> Tensor:
        """[B, S, L]: all but the lowest scores; with "alternate" of the first half alone."""
        stay = scored.protected
        if self.targets == "alternate":
            stay = stay | second_half(scored.alive & ~scored.protected)
        return keep_top(replace(scored, protected=stay), self._counts(scored, share))

    def takers(self, scored: Scored, share: Fraction) -> Tensor:
        """[B, S, L]: the second half, or as many as leave, with the lowest scores among those that stay."""
        if self.targets == "alternate":
            return second_half(scored.alive & ~scored.protected)
        counts, rank = self._counts(scored, share), ranks(scored)
        leaving = torch.tensor(scored.lengths, device=counts.device).unsqueeze(-1) - counts
        return (rank >= (counts - leaving).unsqueeze(-1)) & (rank < counts.unsqueeze(-1))

    def bounds(self, alive: int, protected: int, share: Fraction) -> tuple[int, int]:
        """Both are the exact count."""
        count = max(next_count(alive, protected, share, self.min_tokens), alive - (alive - protected) // 2)
        return count, count

    def _counts(self, scored: Scored, share: Fraction) -> Tensor:
        """[B, 1], as a tensor."""
        counts = self.counts(scored.lengths, scored.protected_counts, share)
        return torch.tensor(counts, device=scored.scores.device).unsqueeze(-1)
