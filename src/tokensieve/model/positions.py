"""What positions mean to attention, computed once for all layers of a forward pass.

The position table, where a backbone has one, belongs to the embeddings. All positions are those that tokens have in the
whole document, before any token left.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokensieve.model.configuration import TokensieveConfig
from tokensieve.tokens import Tokens

_FARTHEST = 128  # from this distance on keys share the last bucket of their side


class Places(NamedTuple):
    """What the layers need of the positions in a batch.

    Attributes:
        bias: [H, 2 L] for documents of up to L tokens, the table of a `kernels.relative.RelativeBias`; None: no bias.
    """

    bias: Tensor | None = None


class Positions(nn.Module):
    """The parameters of a backbone that concern positions beyond the table: a relative bias, shared by all layers.

    Source of the buckets: T5 (Raffel et al., JMLR 2020), as MPNet has taken them over (Song et al., NeurIPS 2020).
    """

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        buckets = config.block.relative_buckets
        self.relative = nn.Embedding(buckets, config.num_attention_heads) if buckets else None

    def forward(self, tokens: Tokens) -> Places:
        """The places of a batch's tokens."""
        if self.relative is None:
            return Places()
        longest = int(tokens.origin.max()) + 1
        distance = torch.arange(1 - longest, longest, device=tokens.values.device)
        bias = self.relative(relative_buckets(distance, self.relative.num_embeddings))
        return Places(F.pad(bias.t(), (0, 1)))  # the last column is that of tokens without a position


def relative_buckets(distance: Tensor, buckets: int) -> Tensor:
    """The bucket of each distance, key less query, of any shape.

    Half of the buckets are for keys ahead of the query, half for those behind. Half of each are for one distance each,
    the others grow with its logarithm up to 128 tokens.
    """
    side, far = buckets // 2, distance.abs()
    exact = side // 2
    # In float32, as checkpoints were trained: a power of two may fall into the bucket below the exact one.
    growth = torch.log(far.clamp(min=1).float() / exact) / math.log(_FARTHEST / exact) * (side - exact)
    beyond = (exact + growth.long()).clamp(max=side - 1)
    return torch.where(far < exact, far, beyond) + side * (distance > 0)
