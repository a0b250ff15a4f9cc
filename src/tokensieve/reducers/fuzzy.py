"""Fuzzy pruning (PF): tokens that are clearly important are spared, the ratio acts on the other ones, the candidates.

Source: PTC section 3.3. Membership of importance and unimportance rises between the quartiles of the scores; what is in
the alpha-cut of the first and not in that of the second stays. Scope "candidates" applies p to the candidates, which is
the literal reading; scope "all" applies it to all tokens and takes candidates first.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from tokensieve.reducers.contract import Reducer, Scored
from tokensieve.reducers.ranking import keep_top
from tokensieve.reducers.ratio import RatioReducer


class FuzzyCandidatesReducer(Reducer):
    """Scope "candidates": all that is no candidate stays, and floor(p c) of c candidates.

    With a kept set per head all heads keep as many as the head that would keep most, so that no head loses a token
    outside its candidates.

    Args:
        ratio: p, exact.
        alpha_important: cut of the importance membership.
        alpha_unimportant: cut of the unimportance membership.
        shared_heads: one kept set for all heads.
        fewest: so many stay in any case.
    """

    def __init__(
        self,
        ratio: Fraction,
        alpha_important: float,
        alpha_unimportant: float,
        shared_heads: bool = True,
        fewest: int = 1,
    ) -> None:
        self.ratio, self.shared_heads, self.fewest = ratio, shared_heads, fewest
        self.alpha_important, self.alpha_unimportant = alpha_important, alpha_unimportant

    def counts(self, lengths: Sequence[int], protected_counts: Sequence[int]) -> None:
        """The number of candidates depends on the scores."""
        return None

    def select(self, scored: Scored) -> Tensor:
        """[B, S, L]: the non-candidates and the best of the candidates."""
        candidates = fuzzy_candidates(scored, self.alpha_important, self.alpha_unimportant).sum(-1)  # [B, S]
        kept_candidates = candidates * self.ratio.numerator // self.ratio.denominator
        alive = scored.alive.sum(-1)
        counts = torch.maximum(alive - candidates + kept_candidates, alive.clamp(max=self.fewest))
        # A candidate scores lower than whatever is none, so the best `counts` tokens are the ones described.
        return keep_top(scored, counts.amax(-1, keepdim=True).clamp(min=1))

    def bounds(self, alive: int, protected: int) -> tuple[int, int]:
        """Fewest: all tokens below the upper quartile are candidates. Most: equal quartiles, no candidates."""
        free = alive - protected
        spared = self.alpha_unimportant > 0  # then what reaches the upper quartile is no candidate
        candidates = -(-3 * (free - 1) // 4) if spared and free else free
        kept = candidates * self.ratio.numerator // self.ratio.denominator
        return max(1, min(alive, self.fewest), alive - candidates + kept), alive


def fuzzy_all(ratio: Fraction, shared_heads: bool, fewest: int = 1) -> RatioReducer:
    """Scope "all": floor(t p) stay; candidates leave first, lowest score first, then others where they do not suffice.

    Both cuts are thresholds on the score, so a candidate always scores lower than what is none: removing candidates
    first is removing the lowest scores first, and the kept set is that of ratio pruning. One piece of code serves both;
    a test holds it against the two-stage rule as it is written.
    """
    return RatioReducer(ratio, shared_heads, fewest)


def fuzzy_candidates(scored: Scored, alpha_important: float, alpha_unimportant: float) -> Tensor:
    """Candidates for removal, [B, S, L] bool: the complement of I minus U among unprotected tokens.

    Quartiles a, b are taken over a document's unprotected tokens, pooled over heads where each has its own scores.
    Where a = b nothing can be told apart and there are no candidates.
    """
    free = scored.alive & ~scored.protected
    values = scored.scores.masked_fill(~free, torch.nan).flatten(1)  # [B, S * L]
    a, b = (quantile(values, q).view(-1, 1, 1) for q in (0.25, 0.75))
    spread = b - a
    importance = ((scored.scores - a) / spread).clamp(0, 1)
    unimportance = ((b - scored.scores) / spread).clamp(0, 1)
    clearly_important = (importance >= alpha_important) & ~(unimportance >= alpha_unimportant)
    return free & ~clearly_important & (spread > 0)


def quantile(values: Tensor, q: float) -> Tensor:
    """Linear quantile of each row of [B, N] float32 over what is not NaN: [B]; NaN for a row without numbers.

    Sorts, because torch.quantile refuses large inputs.
    """
    ordered = values.sort(dim=-1).values  # NaN last
    count = values.isfinite().sum(-1)
    place = (count - 1).clamp(min=0) * q
    low = place.floor().long()
    high = place.ceil().long()
    at_low, at_high = (ordered.gather(-1, i.unsqueeze(-1)).squeeze(-1) for i in (low, high))
    return at_low + (at_high - at_low) * (place - low)
