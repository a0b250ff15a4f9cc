"""Band similarity: how unlike a token is to the most similar one of the other half that stands near by.

Source: local merging (Götz et al., "Efficient Time Series Processing for Transformers and State-Space Models through
Token Merging", ICML 2025). It is the likeness of ToMe within a band, so that it costs linear time and memory. The
abstract does not tell what is compared: it is a setting here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tokensieve.checks import Check, one_of, whole
from tokensieve.reduce.band import free_tokens, pairs_within, partners
from tokensieve.reduce.contract import COMPARED, Compared, KeyVectors, Score, ScoredLayer, Scorer
from tokensieve.tokens import Tokens


@dataclass(frozen=True)
class BandSimilarity(Score):
    """Minus the cosine of a first-half token with its partner (`reduce.band`); 1 for all others.

    Attributes:
        band: k, 1 or more; 1: a token is compared with the next one alone.
        by: what is compared: the layer's "keys", averaged over the heads, or the "inputs" of the layer. By inputs
            tokens may leave ahead of attention, too.
    """

    band: int = 1
    by: Compared = "keys"

    name: ClassVar[str] = "band-similarity"
    is_likeness: ClassVar[bool] = True
    checks: ClassVar[Mapping[str, Check]] = {"band": whole(1), "by": one_of(COMPARED)}

    @property
    def needs_keys(self) -> bool:
        """Whether keys are compared."""
        return self.by == "keys"

    def of_keys(self, seen: KeyVectors) -> Tensor:
        """Scores [1, K]; a token with a near copy beside it scores low."""
        return _scores(seen.vectors, seen.protected, seen.lengths, seen.combination, self.band)

    def scorer(self, hidden_size: int) -> InputScorer | None:
        """What scores the inputs; None: keys are compared."""
        return None if self.needs_keys else InputScorer(self.band)

    def flops(self, layer: ScoredLayer) -> float:
        """The cosines within the band."""
        width, rows = (layer.head_size, layer.keys) if self.needs_keys else (layer.hidden_size, layer.before)
        return 2 * width * pairs_within(rows - layer.combination, self.band)


class InputScorer(Scorer):
    """Scores of the rows that stand before a layer.

    Args:
        band: k.
    """

    def __init__(self, band: int) -> None:
        super().__init__()
        self.band = band

    def forward(self, tokens: Tokens) -> Tensor:
        """Scores [1, T] float32."""
        return _scores(tokens.values, tokens.protected, tokens.lengths, tokens.combination, self.band)


@torch.no_grad()
def _scores(vectors: Tensor, protected: Tensor, lengths: Sequence[int], combination: int, band: int) -> Tensor:
    free = free_tokens(protected, lengths, combination)
    first = (free.number % 2 == 0).nonzero().squeeze(1)
    scores = torch.ones(1, len(vectors), device=vectors.device)
    cosines = partners(vectors, free, first, band).cosines
    scores[0, free.rows[first]] = torch.where(cosines.isfinite(), -cosines, 1.0)
    return scores
