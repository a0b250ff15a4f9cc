"""Received attention: a token's importance is the mean attention that it receives in the layer.

Source: PTC section 3.1. The exact score needs every probability. A few queries that stand for all cost little at any
length; which ones is a setting of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import Tensor

from tokensieve.checks import BOOLEAN, Check, one_of, whole
from tokensieve.kernels.received import ALL, Rows
from tokensieve.reduce.contract import Score, ScoredLayer

Heads = Literal["shared", "per_head"]
Queries = Literal["all", "anchors", "sample"]


@dataclass(frozen=True)
class Received(Score):
    """Received attention.

    Attributes:
        heads: one kept set "shared" by all heads, or one "per_head" (where tokens leave as keys alone).
        queries: whose attention counts: "all" queries (the paper); "anchors": the first token's and the combination
            tokens'; "sample": some, evenly spaced.
        sample: number of queries of a document that "sample" looks at.
        own: whether what a token receives from itself counts (where tokens leave the model, not as keys alone).
    """

    heads: Heads = "shared"
    queries: Queries = "all"
    sample: int = 32
    own: bool = True

    name: ClassVar[str] = "received"
    needs_attention: ClassVar[bool] = True
    checks: ClassVar[Mapping[str, Check]] = {
        "heads": one_of(get_args(Heads)),
        "queries": one_of(get_args(Queries)),
        "sample": whole(1),
        "own": BOOLEAN,
    }

    @property
    def per_head(self) -> bool:
        """Whether the heads keep sets of their own."""
        return self.heads == "per_head"

    def rows_scored(self, rows: int, combination: int) -> Rows:
        """Every query, the anchors, or a sample: rows of one document, ascending.

        The anchors are the first token, which the head reads ([CLS]), and the combination tokens, which all is folded
        into. The sample is evenly spaced, so that a document is scored alike in any batch.
        """
        if self.queries == "anchors":
            return (0, *range(rows - combination, rows))
        if self.queries == "sample" and rows > self.sample:
            return [place * rows // self.sample for place in range(self.sample)]
        return ALL

    def of_received(self, received: Tensor) -> Tensor:
        """Scores [S, K] from received attention [H, K]; shared heads average."""
        return received if self.per_head else received.mean(0, keepdim=True)

    def flops(self, layer: ScoredLayer) -> float:
        """Query x key of the few queries that are scored beside fused attention; all of them cost nothing more."""
        scored = self.rows_scored(round(layer.rows), layer.combination)
        return 0.0 if isinstance(scored, slice) else 2 * layer.hidden_size * len(scored) * layer.keys
