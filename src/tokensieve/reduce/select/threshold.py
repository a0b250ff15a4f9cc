"""Threshold: tokens stay whose score is at least a threshold, so that a document decides by itself how many stay.

Source: a widely read account of PTC, which names a pruning threshold on the importance and no rule for it: not what it
is relative to, not where it comes from. Both are settings here. LTP (Kim et al., KDD 2022) learns its thresholds with
the weights; here one is given, or fitted to a wanted mean share of tokens (`training/fits/threshold.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from tokensieve.checks import AT_LEAST_ZERO, BOOLEAN, Check, one_of, whole
from tokensieve.reduce.contract import Scored, Select
from tokensieve.reduce.select.ranking import keep_reaching

Relative = Literal["mean", "maximum", "nothing"]


@dataclass(frozen=True)
class Threshold(Select):
    """Keeps the protected tokens, and those of the others whose importance is at least the threshold.

    The share of a layer's schedule says whether the threshold acts there: share 1, it does not. With `fit` it is also
    the mean share of tokens that training fits the threshold to.

    A score that is a logarithm (`Score.is_log`) is compared as one: importance is its exponential.

    Attributes:
        min_tokens: minimum number of tokens kept per document, 1 or more.
        threshold: lowest importance that stays, 0 or more.
        relative: the threshold is a multiple of the "mean" or the "maximum" of the importance of the document's
            unprotected tokens; or of "nothing": it is absolute.
        fit: training fits the threshold to the share of the schedule, and saves what it found.
    """

    min_tokens: int = 1
    threshold: float = 1.0
    relative: Relative = "mean"
    fit: bool = False

    name: ClassVar[str] = "threshold"
    follows_share: ClassVar[bool] = False
    checks: ClassVar[Mapping[str, Check]] = {
        "min_tokens": whole(1),
        "threshold": AT_LEAST_ZERO,
        "relative": one_of(get_args(Relative)),
        "fit": BOOLEAN,
    }

    def counts(
        self, lengths: Sequence[int], protected_counts: Sequence[int], share: Fraction
    ) -> tuple[int, ...] | None:
        """None: the counts depend on the scores; but at share 1 all tokens stay."""
        return tuple(lengths) if share == 1 else None

    def select(self, scored: Scored, share: Fraction) -> Tensor:
        """[B, S, L]. If heads keep sets of their own, each keeps as many as the head that would keep most."""
        if share == 1:
            return scored.alive.expand_as(scored.scores)
        free = scored.alive & ~scored.protected
        return keep_reaching(scored, self._reach(scored, free), self.min_tokens)

    def bounds(self, alive: int, protected: int, share: Fraction) -> tuple[int, int]:
        """Fewest: no unprotected token reaches the threshold. Most: all do."""
        return alive if share == 1 else max(1, min(alive, self.min_tokens), protected), alive

    def _reach(self, scored: Scored, free: Tensor) -> Tensor:
        """Which of the `free` tokens reach the threshold, [B, S, L] bool; all where all have an importance of 0.

        Mean and maximum are those of a document's free tokens. A sum of float32 scores is exact in float64, so that a
        token is compared alike alone and in any batch.
        """
        values = scored.scores.to(torch.float32 if scored.scores.device.type == "mps" else torch.float64)
        if self.relative == "nothing":
            return free & ((values.exp() if scored.is_log else values) >= self.threshold)
        if scored.is_log:  # relative to the largest one, so that none overflows
            values = (values - values.masked_fill(~free, -torch.inf).amax(-1, keepdim=True)).exp()
        known = values.masked_fill(~free, 0.0)
        if self.relative == "maximum":
            return free & (values >= self.threshold * known.amax(-1, keepdim=True))
        return free & (values * free.sum(-1, keepdim=True) >= self.threshold * known.sum(-1, keepdim=True))
