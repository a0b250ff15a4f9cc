"""Ratio pruning (P): the share p of the tokens with the highest importance stays.

Source: PTC section 3.2, t^{l+1} = floor(t^l p). Differs in that special tokens are protected (a setting).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from tokensieve.reducers.contract import Reducer, Scored
from tokensieve.reducers.ranking import keep_top
from tokensieve.reducers.schedule import next_count


class RatioReducer(Reducer):
    """Keeps max(1, protected, floor(t p)) of t tokens, and no fewer than a number that is given.

    Args:
        ratio: p, exact.
        shared_heads: one kept set for all heads.
        fewest: so many stay in any case.
    """

    def __init__(self, ratio: Fraction, shared_heads: bool = True, fewest: int = 1) -> None:
        self.ratio, self.shared_heads, self.fewest = ratio, shared_heads, fewest

    def counts(self, lengths: Sequence[int], protected_counts: Sequence[int]) -> tuple[int, ...]:
        """Follows from length alone."""
        pairs = zip(lengths, protected_counts, strict=True)
        return tuple(next_count(t, own, self.ratio, self.fewest) for t, own in pairs)

    def select(self, scored: Scored) -> Tensor:
        """[B, S, L]: the counted number with the highest scores."""
        counts = torch.tensor(self.counts(scored.lengths, scored.protected_counts), device=scored.scores.device)
        return keep_top(scored, counts.unsqueeze(-1))

    def bounds(self, alive: int, protected: int) -> tuple[int, int]:
        """Both are the exact count."""
        count = next_count(alive, protected, self.ratio, self.fewest)
        return count, count
