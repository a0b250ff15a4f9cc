"""Fuzzy pruning (PF): clearly important tokens are spared; the share acts on the other tokens, the candidates.

Source: PTC section 3.3. Membership of importance and unimportance rises between the quartiles of the scores; a
token in the alpha-cut of the first and not in that of the second is spared. Scope "candidates" applies p to the
candidates, which is the literal reading; scope "all" applies it to all tokens and takes candidates first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from tokensieve.checks import SHARE, Check, one_of
from tokensieve.reduce.contract import Scored
from tokensieve.reduce.select.ranking import keep_top
from tokensieve.reduce.select.top_share import TopShare

Scope = Literal["all", "candidates"]


@dataclass(frozen=True)
class Fuzzy(TopShare):
    """Spares tokens that are clearly important.

    Scope "all": floor(t p) stay; candidates leave first, the lowest score first, then others where they do not suffice.
    Both cuts are thresholds on the score, so a candidate always scores lower than other tokens: to remove candidates
    first is to remove the lowest scores first, and the kept set is that of the top share. One piece of code serves
    both; a test holds it against the two-stage rule as it is written.

    Scope "candidates": all other tokens stay, and floor(p c) of c candidates. With a kept set per head all
    heads keep as many as the head that would keep most, so that no head loses a token outside its candidates.

    Attributes:
        scope: what the share applies to.
        alpha_important: alpha-cut of the importance membership, in [0, 1].
        alpha_unimportant: alpha-cut of the unimportance membership, in [0, 1].
        min_tokens: minimum number of tokens kept per document, 1 or more.
    """

    scope: Scope = "all"
    alpha_important: float = 0.01
    alpha_unimportant: float = 0.9

    name: ClassVar[str] = "fuzzy"
    checks: ClassVar[Mapping[str, Check]] = {
        **TopShare.checks,
        "scope": one_of(get_args(Scope)),
        "alpha_important": SHARE,
        "alpha_unimportant": SHARE,
    }

    def counts(
        self, lengths: Sequence[int], protected_counts: Sequence[int], share: Fraction
    ) -> tuple[int, ...] | None:
        """The exact counts with scope "all"; None with "candidates", whose number depends on the scores."""
        return super().counts(lengths, protected_counts, share) if self.scope == "all" else None

    def select(self, scored: Scored, share: Fraction) -> Tensor:
        """[B, S, L]: the top share, or the non-candidates and the best of the candidates."""
        if self.scope == "all":
            return super().select(scored, share)
        candidates = fuzzy_candidates(scored, self.alpha_important, self.alpha_unimportant).sum(-1)  # [B, S]
        kept_candidates = candidates * share.numerator // share.denominator
        alive = scored.alive.sum(-1)
        counts = torch.maximum(alive - candidates + kept_candidates, alive.clamp(max=self.min_tokens))
        # A candidate scores lower than other tokens, so the best `counts` tokens are those described above.
        return keep_top(scored, counts.amax(-1, keepdim=True).clamp(min=1))

    def bounds(self, alive: int, protected: int, share: Fraction) -> tuple[int, int]:
        """Fewest: all tokens below the upper quartile are candidates. Most: equal quartiles, no candidates."""
        if self.scope == "all":
            return super().bounds(alive, protected, share)
        free = alive - protected
        spared = self.alpha_unimportant > 0  # then a token that reaches the upper quartile is no candidate
        candidates = -(-3 * (free - 1) // 4) if spared and free else free
        kept = candidates * share.numerator // share.denominator
        return max(1, min(alive, self.min_tokens), alive - candidates + kept), alive


def fuzzy_candidates(scored: Scored, alpha_important: float, alpha_unimportant: float) -> Tensor:
    """Candidates for removal, [B, S, L] bool: the complement of I minus U among unprotected tokens.

    Quartiles a, b are taken over a document's unprotected tokens, pooled over heads where each has its own scores.
    If a = b, tokens cannot be told apart, and there are no candidates.
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
    """Linear quantile of each row of [B, N] float32, NaN left out: [B]; NaN for a row without numbers.

    Sorts, because torch.quantile refuses large inputs.
    """
    ordered = values.sort(dim=-1).values  # NaN last
    count = values.isfinite().sum(-1)
    place = (count - 1).clamp(min=0) * q
    low = place.floor().long()
    high = place.ceil().long()
    at_low, at_high = (ordered.gather(-1, i.unsqueeze(-1)).squeeze(-1) for i in (low, high))
    return at_low + (at_high - at_low) * (place - low)
