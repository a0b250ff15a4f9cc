"""Skim: a token stays as long as a predictor says so ahead of each layer.

Source: Guan et al., "Transkimmer: Transformer Learns to Layer-wise Skim" (ACL 2022, arXiv 2205.07324), with the
correction that its authors made to the attention of training: a softmax over the keys that are left. Differs in that a
token that leaves is gone, where the paper forwards its hidden state to the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor

from tokensieve.checks import AT_LEAST_ZERO, Check, number, whole
from tokensieve.reduce.contract import Scored, Select
from tokensieve.reduce.gate import Gate, mean_weights
from tokensieve.reduce.rows import all_rows, padded_scores
from tokensieve.reduce.select.ranking import keep_reaching
from tokensieve.tokens import Tokens


@dataclass(frozen=True)
class Skim(Select):
    """Keeps the protected tokens, and those with a score above 0.

    In training the scores get the noise of a Gumbel softmax. A token's weight is 1 if its noisy score is above 0, else
    0; its gradient is that of the sigmoid (straight through). The weights of all layers so far are multiplied, and
    weigh the token as a key. The loss gets `penalty` times the share of the tokens that are left, averaged over the
    layers.

    Attributes:
        min_tokens: minimum number of tokens kept per document, 1 or more.
        temperature: of the Gumbel softmax, above 0.
        penalty: lambda, 0 or more. The source has 0.2 to 0.5.
    """

    min_tokens: int = 1
    temperature: float = 1.0
    penalty: float = 0.5

    name: ClassVar[str] = "skim"
    gated: ClassVar[bool] = True
    reads_decisions: ClassVar[bool] = True
    reads_share: ClassVar[bool] = False
    follows_share: ClassVar[bool] = False
    checks: ClassVar[Mapping[str, Check]] = {
        "min_tokens": whole(1),
        "temperature": number(lambda heat: heat > 0, "a number above 0"),
        "penalty": AT_LEAST_ZERO,
    }

    def gate(self, layer: int, depth: int) -> SkimGate:
        """The gate of a layer."""
        return SkimGate(self, depth)

    def counts(self, lengths: Sequence[int], protected_counts: Sequence[int], share: Fraction) -> None:
        """None: it depends on the scores."""
        return None

    def select(self, scored: Scored, share: Fraction) -> Tensor:
        """[B, S, L]."""
        return keep_reaching(scored, scored.scores > 0, self.min_tokens)

    def bounds(self, alive: int, protected: int, share: Fraction) -> tuple[int, int]:
        """Fewest: all unprotected tokens leave. Most: none does."""
        return max(1, protected, min(alive, self.min_tokens)), alive


class SkimGate(Gate):
    """The gate of one layer; what is learned is the score.

    Args:
        settings: of the selection.
        depth: layers of the model.
    """

    lasting: ClassVar[bool] = True

    def __init__(self, settings: Skim, depth: int) -> None:
        super().__init__()
        self.settings, self.depth = settings, depth

    def weigh(self, margins: Tensor, tokens: Tokens, free: Tensor) -> Tensor:
        """1 or 0, with the gradient of the sigmoid. Rows that are gone stay so."""
        noisy = margins + logistic_noise(margins)
        if tokens.key_weights is not None:
            noisy = noisy.masked_fill(tokens.key_weights == 0, -torch.inf)
        slots, scored = padded_scores(noisy.detach().unsqueeze(0), all_rows(tokens), tokens)
        hard = slots.unpad(self.settings.select(scored, Fraction(1)), True)[0].to(margins.dtype)
        soft = (noisy / self.settings.temperature).sigmoid()
        return hard + soft - soft.detach()

    def penalty(self, weights: Tensor, tokens: Tokens) -> Tensor:
        """Lambda times the share of a document's rows that are left, over the number of layers."""
        return self.settings.penalty / self.depth * mean_weights(weights, tokens)

    def behind(self, computed: Tensor, entered: Tensor, weights: Tensor) -> Tensor:
        """A row that is gone keeps what it was."""
        share = weights.unsqueeze(1).to(computed.dtype)
        return share * computed + (1 - share) * entered


def logistic_noise(like: Tensor) -> Tensor:
    """The difference of the Gumbel noise of two logits, for each number of a tensor."""
    uniform = torch.rand_like(like, dtype=torch.float32).clamp(1e-7, 1 - 1e-7)
    return uniform.logit().to(like.dtype)
