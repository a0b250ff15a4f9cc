"""Learned importance: how much the answer would change with a token, predicted from its hidden state alone.

What it predicts is a setting. By default it is ours. With target "gradient" it is the importance of a widely read
account of PTC, the gradient of the logit with respect to the token's input vector, which costs a second pass where it
is computed (`reduce.score.gradient`) and none where it is predicted.

The score of PTC section 3.1 needs a layer's attention before it knows what may leave after it. A linear map of the
hidden states is known ahead of the layer, costs one product with a vector, and lets attention run fused. It is fitted,
not trained: `training/fits/importance.py` regresses on it the gradients of a trained classifier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.checks import AT_LEAST_ZERO, Check, one_of
from tokensieve.reduce.contract import Score, ScoredLayer, Scorer
from tokensieve.tokens import Tokens

Target = Literal["margin", "gradient", "input-times-gradient"]


@dataclass(frozen=True)
class Learned(Score):
    """A fitted linear map of the hidden state ahead of the layer.

    Attributes:
        noise: scale of Gumbel noise on the scores, in training only; 1 is the standard deviation of the scores within a
            document. Tokens that stay are then drawn, the likelier the higher their scores, so that training does not
            always see the same tokens of a document.
        target: what it is fitted to, for each layer that prunes. "margin": the norm of the gradient of the answer's
            margin, with respect to the hidden state ahead of that layer. "gradient": the norm of the gradient of the
            predicted class's logit, with respect to the token's input vector, whichever the layer. Or the size of that
            gradient's product with the input vector, "input-times-gradient".
    """

    noise: float = 0.0
    target: Target = "margin"

    name: ClassVar[str] = "learned"
    fitted: ClassVar[bool] = True
    is_log: ClassVar[bool] = True
    checks: ClassVar[Mapping[str, Check]] = {"noise": AT_LEAST_ZERO, "target": one_of(get_args(Target))}

    def scorer(self, hidden_size: int) -> Importance:
        """The map, zero until it is fitted."""
        return Importance(hidden_size, self.noise)

    def flops(self, layer: ScoredLayer) -> float:
        """A product with a vector for each row that stands before the layer."""
        return 2 * layer.hidden_size * layer.before


class Importance(Scorer):
    """Scores of the rows that stand before a layer; zero for all until it is fitted.

    Args:
        hidden_size: d.
        noise: as in `Learned`.
    """

    weight: Tensor

    def __init__(self, hidden_size: int, noise: float = 0.0) -> None:
        super().__init__()
        self.noise = noise
        self.register_buffer("weight", torch.zeros(1, hidden_size))

    @torch.no_grad()
    def forward(self, tokens: Tokens) -> Tensor:
        """Scores [1, T] float32, higher stays: comparable within a document."""
        values = tokens.values
        with torch.autocast(values.device.type, enabled=False):  # coarser scores would be equal ones
            scores = F.linear(values.float(), self.weight.float()).T
        if self.training and self.noise:
            scores = scores - self.noise * torch.empty_like(scores).exponential_().log()
        return scores

    def first_values(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Zeros."""
        yield self.weight, torch.zeros_like(self.weight)

    @property
    def fitted(self) -> bool:
        """Whether any weight differs from zero."""
        return bool(self.weight.any())
