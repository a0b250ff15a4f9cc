"""Energy: how many near copies a token has among all tokens of its document, by their keys.

Source: PiToMe (Tran et al., "Accelerating Transformers with Spectrum-Preserving Token Merging", NeurIPS 2024), with the
Gaussian that its text encoders use. Differs in that there is no padding among the tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tokensieve.checks import SHARE, Check, number
from tokensieve.reduce.contract import KeyVectors, Score, ScoredLayer
from tokensieve.reduce.score.likeness import Cosines, from_cosines


@dataclass(frozen=True)
class Energy(Score):
    """Minus the mean, over the other tokens of the document, of a Gaussian of 1 - cosine; 0 for a token alone.

    Its deviation is 1 - margin: 1 - `margin` in the first layer, and `fall` wider behind the last one.

    Attributes:
        margin: of the first layer, in [0, 1).
        fall: by how much the margin falls over all layers, in [0, 1].
    """

    margin: float = 0.9
    fall: float = 0.25

    name: ClassVar[str] = "energy"
    checks: ClassVar[Mapping[str, Check]] = {
        "margin": number(lambda margin: 0 <= margin < 1, "a number in [0, 1)"),
        "fall": SHARE,
    }

    @property
    def needs_keys(self) -> bool:
        """Keys are compared."""
        return True

    def of_keys(self, seen: KeyVectors) -> Tensor:
        """Scores [1, K]; a token with many near copies scores low."""
        deviation = 1 - self.margin + self.fall * seen.depth

        def energy(cosines: Cosines) -> Tensor:
            """Of some tokens, [D, some]; each one's Gaussian with itself is left out."""
            others = cosines.values.shape[2] - 1
            found = torch.exp(-0.5 * ((1 - cosines.values) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
            found.diagonal(cosines.rows.start, 1, 2).zero_()
            return -found.sum(2) / max(1, others)

        return from_cosines(seen, energy)

    def flops(self, layer: ScoredLayer) -> float:
        """The cosines of all text keys, of the width of a head."""
        return 2 * layer.head_size * (layer.keys - layer.combination) ** 2
