"""Similar pairs: a token of the first half leaves if its partner is at least so similar to it.

Source: the dynamic merging of Götz et al. (ICML 2025): a threshold on the similarity in place of a count. There a batch
merges as many tokens as its documents do on average. Here each document decides for itself, so that its answer does not
depend on the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

from torch import Tensor

from tokensieve.checks import Check, number, whole
from tokensieve.reduce.contract import Scored, Select
from tokensieve.reduce.halves import second_half
from tokensieve.reduce.select.ranking import keep_reaching


@dataclass(frozen=True)
class SimilarPairs(Select):
    """Keeps the protected tokens, the second half of the others, and of the first half what has no such partner.

    The score is minus a likeness (`Score.is_likeness`).

    Attributes:
        threshold: the cosine from which on a token leaves, above -1, at most 1.
        min_tokens: minimum number of tokens kept per document, 1 or more.
    """

    threshold: float = 0.9
    min_tokens: int = 1

    name: ClassVar[str] = "similar-pairs"
    reads_share: ClassVar[bool] = False
    follows_share: ClassVar[bool] = False
    reads_likeness: ClassVar[bool] = True
    checks: ClassVar[Mapping[str, Check]] = {
        "threshold": number(lambda cosine: -1 < cosine <= 1, "a number above -1, at most 1"),
        "min_tokens": whole(1),
    }

    def counts(self, lengths: Sequence[int], protected_counts: Sequence[int], share: Fraction) -> None:
        """None: it depends on the scores."""
        return None

    def select(self, scored: Scored, share: Fraction) -> Tensor:
        """[B, S, L]."""
        stay = scored.protected | self.takers(scored, share)
        return keep_reaching(replace(scored, protected=stay), scored.scores > -self.threshold, self.min_tokens)

    def takers(self, scored: Scored, share: Fraction) -> Tensor:
        """[B, S, L]: the second half."""
        return second_half(scored.alive & ~scored.protected)

    def bounds(self, alive: int, protected: int, share: Fraction) -> tuple[int, int]:
        """Fewest: all of the first half leave. Most: none does."""
        return max(1, min(alive, self.min_tokens), alive - (alive - protected + 1) // 2), alive
