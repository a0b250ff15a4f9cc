"""The rule by which a stage of a cascade defers a document to the next one: its confidence is below a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from tokensieve.model.probabilities import confidence


@dataclass(frozen=True)
class Defer:
    """When a stage defers a document.

    Attributes:
        below: confidence (`model.probabilities.confidence`) below which a document is deferred, in [0, 1]; None: no
            document is, as the number is not fitted yet.
        shortest: documents of fewer tokens are not pruned by this stage.
        skips_short: whether documents that are not pruned go to the next stage without an answer of this one, as the
            next stage reads all tokens. Otherwise this stage answers them, and never defers them.
        problem_type: as in transformers' configs.
    """

    below: float | None
    shortest: int = 0
    skips_short: bool = False
    problem_type: str | None = None

    def skips(self, lengths: Sequence[int]) -> list[bool]:
        """For each length of a document, whether it goes to the next stage without an answer of this one."""
        answers_short = not self.skips_short or self.below is None
        return [not answers_short and length < self.shortest for length in lengths]

    def deferred(self, logits: Tensor, lengths: Sequence[int]) -> list[int]:
        """The rows whose documents are deferred.

        Args:
            logits: [B, C] of this stage, not calibrated.
            lengths: tokens of each document.
        """
        if self.below is None:
            return []
        is_below = (confidence(logits, self.problem_type) < self.below).tolist()
        return [row for row, length in enumerate(lengths) if is_below[row] and length >= self.shortest]
