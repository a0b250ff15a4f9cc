"""Learned threshold: tokens stay whose score reaches a threshold of the layer, which is learned.

Source: Kim et al., "Learned Token Pruning for Transformers" (KDD 2022, arXiv 2107.00910). Differs in that special
tokens are protected (a setting), and that the score is a mean over the document's own tokens: the source's code divides
by the padded length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor, nn

from tokensieve.checks import AT_LEAST_ZERO, BOOLEAN, Check, number, whole
from tokensieve.reduce.contract import Scored, Select
from tokensieve.reduce.gate import Gate, mean_weights
from tokensieve.reduce.select.ranking import keep_reaching
from tokensieve.tokens import Tokens

_SMALLEST = 1e-5
"""No threshold is lower (the source's code)."""


@dataclass(frozen=True)
class LearnedThreshold(Select):
    """Keeps the protected tokens, and those that score at or above a learned threshold of the layer.

    Layer l of L has the threshold final l / L + a learned difference, at first 0. In training a row's output is
    multiplied by sigmoid((score - threshold) / temperature), and the loss gets `penalty` times the mean of that, summed
    over the layers. How many stay depends on the document; the schedule only says in which layers tokens leave: those
    with a share below 1.

    Attributes:
        min_tokens: minimum number of tokens kept per document, 1 or more.
        final: threshold of the last layer before anything is learned, 0 or more.
        temperature: of the sigmoid, above 0. The source tries 1e-4 to 2e-3.
        penalty: lambda, 0 or more. The source tries 0.01 to 0.2.
        through_scores: the gradient also reaches the attention that the scores are made of, as in the source's code;
            every probability is kept for it in training.
    """

    min_tokens: int = 1
    final: float = 0.01
    temperature: float = 1e-3
    penalty: float = 0.1
    through_scores: bool = True

    name: ClassVar[str] = "learned-threshold"
    gated: ClassVar[bool] = True
    reads_share: ClassVar[bool] = False
    follows_share: ClassVar[bool] = False
    checks: ClassVar[Mapping[str, Check]] = {
        "min_tokens": whole(1),
        "final": AT_LEAST_ZERO,
        "temperature": number(lambda heat: heat > 0, "a number above 0"),
        "penalty": AT_LEAST_ZERO,
        "through_scores": BOOLEAN,
    }

    def gate(self, layer: int, depth: int) -> ThresholdGate:
        """The threshold of a layer."""
        return ThresholdGate(self, self.final * layer / depth)

    def counts(self, lengths: Sequence[int], protected_counts: Sequence[int], share: Fraction) -> None:
        """None: it depends on the scores."""
        return None

    def select(self, scored: Scored, share: Fraction) -> Tensor:
        """[B, S, L], by how far the scores are above the threshold."""
        return keep_reaching(scored, scored.scores >= 0, self.min_tokens)

    def bounds(self, alive: int, protected: int, share: Fraction) -> tuple[int, int]:
        """Fewest: no unprotected token reaches the threshold. Most: all do."""
        return max(1, protected, min(alive, self.min_tokens)), alive


class ThresholdGate(Gate):
    """The threshold of one layer.

    Args:
        settings: of the selection.
        base: threshold before anything is learned.
    """

    def __init__(self, settings: LearnedThreshold, base: float) -> None:
        super().__init__()
        self.settings, self.base, self.attached = settings, base, settings.through_scores
        self.difference = nn.Parameter(torch.zeros(()))

    @property
    def threshold(self) -> Tensor:
        """A scalar, at least `_SMALLEST`."""
        return (self.base + self.difference).clamp(min=_SMALLEST)

    def first_values(self) -> Iterator[tuple[Tensor, Tensor]]:
        """No difference."""
        yield self.difference, torch.zeros_like(self.difference)

    def margins(self, scores: Tensor) -> Tensor:
        """How far the scores are above the threshold."""
        return scores - self.threshold

    def weigh(self, margins: Tensor, tokens: Tokens, free: Tensor) -> Tensor:
        """The soft mask M of the source."""
        return (margins / self.settings.temperature).sigmoid()

    def penalty(self, weights: Tensor, tokens: Tokens) -> Tensor:
        """Lambda times the mean of a document's mask."""
        return self.settings.penalty * mean_weights(weights, tokens)

    def behind(self, computed: Tensor, entered: Tensor, weights: Tensor) -> Tensor:
        """The layer's output, each row multiplied by its weight."""
        return computed * weights.unsqueeze(1).to(computed.dtype)

    def report(self) -> dict[str, float]:
        """The threshold."""
        return {"threshold": float(self.threshold.detach())}
