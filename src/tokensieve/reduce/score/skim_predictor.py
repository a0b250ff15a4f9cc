"""Skim predictor: a small network ahead of a layer says of each token whether the layer needs it.

Source: Guan et al., "Transkimmer: Transformer Learns to Layer-wise Skim" (ACL 2022, arXiv 2205.07324). Differs in that
no noise is drawn at evaluation, where the source's code draws it, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokensieve.checks import Check, number
from tokensieve.reduce.contract import Score, ScoredLayer, Scorer
from tokensieve.reduce.starts import Starts
from tokensieve.tokens import Tokens


@dataclass(frozen=True)
class SkimPredictor(Score):
    """The logit of staying less that of leaving, by norm, linear, norm, GELU, linear; trained with the weights.

    Attributes:
        start: bias of both logits at first, plus for staying and minus for leaving, so that all tokens stay.
    """

    start: float = 5.0

    name: ClassVar[str] = "skim-predictor"
    decides: ClassVar[bool] = True
    checks: ClassVar[Mapping[str, Check]] = {
        "start": number(lambda bias: -100 <= bias <= 100, "a number from -100 to 100"),
    }

    def scorer(self, hidden_size: int) -> Predictor:
        """The network of a layer."""
        return Predictor(hidden_size, self.start)

    def flops(self, layer: ScoredLayer) -> float:
        """Both linear maps, for each row that stands before the layer."""
        return 2 * layer.hidden_size * (layer.hidden_size + 2) * layer.before


class Logits(Starts, nn.Linear):
    """The last map, which starts with logits by which all tokens stay, but for small differences."""

    def __init__(self, hidden_size: int, start: float) -> None:
        super().__init__(hidden_size, 2)
        self.start = start

    def first_values(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Weights of a normal distribution, and the biases."""
        yield self.weight, torch.randn_like(self.weight) * 0.02
        yield self.bias, self.bias.new_tensor([-self.start, self.start])


class Predictor(Scorer):
    """The network of one layer.

    Args:
        hidden_size: d.
        start: as in `SkimPredictor`.
    """

    def __init__(self, hidden_size: int, start: float) -> None:
        super().__init__()
        self.norm, self.dense = nn.LayerNorm(hidden_size), nn.Linear(hidden_size, hidden_size)
        self.dense_norm, self.logits = nn.LayerNorm(hidden_size), Logits(hidden_size, start)

    def forward(self, tokens: Tokens) -> Tensor:
        """Scores [1, T] float32; above 0 the token stays."""
        leaving, staying = self.logits(F.gelu(self.dense_norm(self.dense(self.norm(tokens.values))))).float().unbind(-1)
        score: Tensor = staying - leaving
        return score.unsqueeze(0)
