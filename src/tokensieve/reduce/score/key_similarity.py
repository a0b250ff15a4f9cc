"""Key similarity: how unlike a token is to the most similar one in the other half of its document.

Source: the bipartite soft matching of token merging (Bolya et al., "Token Merging: Your ViT But Faster", ICLR 2023):
cosines of the keys, averaged over the heads. Differs in that only tokens that may leave are divided into halves, as
text has protected tokens at both ends and between two texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from tokensieve.reduce.contract import KeyVectors, Score, ScoredLayer
from tokensieve.reduce.halves import second_half
from tokensieve.reduce.score.likeness import Cosines, from_cosines


@dataclass(frozen=True)
class KeySimilarity(Score):
    """Minus the largest cosine of a token's key with those of the other half; 1 where there is none."""

    name: ClassVar[str] = "key-similarity"
    is_likeness: ClassVar[bool] = True

    @property
    def needs_keys(self) -> bool:
        """Keys are compared."""
        return True

    def of_keys(self, seen: KeyVectors) -> Tensor:
        """Scores [1, K]; a token with a near copy in the other half scores low."""
        return from_cosines(seen, _unlike)

    def flops(self, layer: ScoredLayer) -> float:
        """The cosines of all text keys, of the width of a head."""
        return 2 * layer.head_size * (layer.keys - layer.combination) ** 2


def _unlike(cosines: Cosines) -> Tensor:
    second = second_half(cosines.free)
    others = (second.unsqueeze(1) != second[:, cosines.rows].unsqueeze(2)) & cosines.free.unsqueeze(1)
    return -cosines.values.masked_fill(~others, -1).amax(2)
