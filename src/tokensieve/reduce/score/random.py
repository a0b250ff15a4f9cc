"""Random score: what any method has to beat at the same number of tokens.

Source: none; a floor for comparisons. A token's number follows from its place in the document and the seed, so that a
document keeps the same tokens alone and in a batch, in every run and in every layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tokensieve.checks import Check, whole
from tokensieve.reduce.contract import Score, Scorer
from tokensieve.tokens import Tokens


@dataclass(frozen=True)
class Random(Score):
    """Random numbers by position.

    Attributes:
        seed: of the numbers.
    """

    seed: int = 0

    name: ClassVar[str] = "random"
    checks: ClassVar[Mapping[str, Check]] = {"seed": whole(0)}

    def scorer(self, hidden_size: int) -> RandomScorer:
        """Needs no hidden state."""
        return RandomScorer(self.seed)


class RandomScorer(Scorer):
    """Scores of the rows that stand before a layer."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    @torch.no_grad()
    def forward(self, tokens: Tokens) -> Tensor:
        """Scores [1, T] float32 in [0, 1)."""
        return random_numbers(tokens.origin, self.seed).unsqueeze(0)


def random_numbers(positions: Tensor, seed: int) -> Tensor:
    """A number in [0, 1), float32, for each position, int64: two rounds of a multiplicative hash on 31 bits."""
    mixed = (positions + 1) * 2654435761 + (seed + 1) * 40503
    for shift, factor in ((15, 73244475), (13, 295559667)):
        low = mixed & 0x7FFFFFFF
        mixed = (low ^ (low >> shift)) * factor
    return ((mixed & 0x7FFFFFFF) >> 7).float() / 2**24
