"""Top share (P): the share p of the tokens with the highest scores stays.

Source: PTC section 3.2, t^{l+1} = floor(t^l p). Differs in that special tokens are protected (a setting).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor

from tokensieve.checks import Check, whole
from tokensieve.reduce.contract import Scored, Select
from tokensieve.reduce.schedule import next_count
from tokensieve.reduce.select.ranking import keep_top


@dataclass(frozen=True)
class TopShare(Select):
    """Keeps max(1, protected, floor(t p)) of t tokens.

    Attributes:
        min_tokens: minimum number of tokens kept per document, 1 or more.
    """

    min_tokens: int = 1

    name: ClassVar[str] = "top-share"
    checks: ClassVar[Mapping[str, Check]] = {"min_tokens": whole(1)}

    def counts(
        self, lengths: Sequence[int], protected_counts: Sequence[int], share: Fraction
    ) -> tuple[int, ...] | None:
        """The exact counts."""
        pairs = zip(lengths, protected_counts, strict=True)
        return tuple(next_count(length, protected, share, self.min_tokens) for length, protected in pairs)

    def select(self, scored: Scored, share: Fraction) -> Tensor:
        """[B, S, L]: the counted number with the highest scores."""
        pairs = zip(scored.lengths, scored.protected_counts, strict=True)
        counts = [next_count(length, protected, share, self.min_tokens) for length, protected in pairs]
        return keep_top(scored, torch.tensor(counts, device=scored.scores.device).unsqueeze(-1))

    def bounds(self, alive: int, protected: int, share: Fraction) -> tuple[int, int]:
        """Both are the exact count."""
        count = next_count(alive, protected, share, self.min_tokens)
        return count, count
