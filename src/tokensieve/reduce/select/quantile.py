"""Quantile: tokens stay whose scores reach a quantile of their document's scores.

Source: Qi et al., "Practical token pruning for foundation models in few-shot conversational virtual assistant systems"
(arXiv 2408.11799), by its abstract: tokens below a quantile of the scores in the sentence are dropped. Differs in that
the quantile is 1 - share of the layer's schedule; the paper's settings (s, q, l) were found by a search and are not
public. s is `min_length` here, and l a schedule with one layer.
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
from tokensieve.reduce.select.ranking import keep_reaching


@dataclass(frozen=True)
class Quantile(Select):
    """Keeps the protected tokens, and those of t others that score at or above the quantile 1 - p.

    The quantile is a score of the document: floor((t - 1) (1 - p)) others are ranked below it. Equal scores stay or
    leave together, so how many stay depends on the scores only where some are equal.

    Attributes:
        min_tokens: minimum number of tokens kept per document, 1 or more.
    """

    min_tokens: int = 1

    name: ClassVar[str] = "quantile"
    checks: ClassVar[Mapping[str, Check]] = {"min_tokens": whole(1)}

    def counts(self, lengths: Sequence[int], protected_counts: Sequence[int], share: Fraction) -> None:
        """None: the number of equal scores is not known from the length."""
        return None

    def select(self, scored: Scored, share: Fraction) -> Tensor:
        """[B, S, L]. If heads keep sets of their own, each keeps as many as the head that would keep most."""
        free = scored.alive & ~scored.protected
        values = scored.scores.masked_fill(~free, torch.inf).sort(dim=-1).values  # the free ones first
        number = free.sum(-1, keepdim=True)  # [B, S, 1]
        place = (number - 1).clamp(min=0) * (share.denominator - share.numerator) // share.denominator
        return keep_reaching(scored, scored.scores >= values.gather(-1, place), self.min_tokens)

    def bounds(self, alive: int, protected: int, share: Fraction) -> tuple[int, int]:
        """Fewest: all scores differ. Most: all are equal."""
        free = alive - protected
        place = max(0, free - 1) * (share.denominator - share.numerator) // share.denominator
        return max(1, min(alive, self.min_tokens), protected + free - place), alive
