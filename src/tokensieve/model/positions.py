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
        longest: L, above all positions in the batch; 0 if no layer asks for positions.
        bias: [H, 2 L], the table of a `kernels.relative.RelativeBias`; None: no bias.
        rotation: [2, L, d_head / 2] float32, cosines and sines of the angles at each position; None: no rotation.
        local_rotation: the same for local layers.
    """

    longest: int = 0
    bias: Tensor | None = None
    rotation: Tensor | None = None
    local_rotation: Tensor | None = None


class Positions(nn.Module):
    """What a backbone's settings make of positions beyond the table: a relative bias with its parameters, rotations.

    Sources: buckets as in T5 (Raffel et al., JMLR 2020), which MPNet has taken over (Song et al., NeurIPS 2020);
    rotations as in RoFormer (Su et al., 2021), by halves of a head as checkpoints of transformers have them.
    """

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        self.blocks, buckets = config.block, config.block.relative_buckets
        self.width = config.hidden_size // config.num_attention_heads
        self.relative = nn.Embedding(buckets, config.num_attention_heads) if buckets else None

    def forward(self, tokens: Tokens) -> Places:
        """The places of a batch's tokens."""
        blocks = self.blocks
        if self.relative is None and blocks.rotary_base is None and blocks.window is None:
            return Places()
        longest, bias, device = int(tokens.origin.max()) + 1, None, tokens.values.device
        if self.relative is not None:
            distance = torch.arange(1 - longest, longest, device=device)
            bias = self.relative(relative_buckets(distance, self.relative.num_embeddings))
            bias = F.pad(bias.t(), (0, 1))  # the last column is that of tokens without a position
        if blocks.rotary_base is None:
            return Places(longest, bias)
        rotation = rotations(blocks.rotary_base, self.width, longest, device)
        local = blocks.local_rotary_base
        return Places(
            longest, bias, rotation, rotation if local is None else rotations(local, self.width, longest, device)
        )


def rotations(base: float, width: int, positions: int, device: torch.device) -> Tensor:
    """Cosines and sines of the angles [2, positions, width / 2]: position times base to the power of -2 i / width."""
    speed = base ** -(torch.arange(0, width, 2, dtype=torch.float32, device=device) / width)
    angles = torch.arange(positions, dtype=torch.float32, device=device).unsqueeze(1) * speed
    return torch.stack([angles.cos(), angles.sin()])


def rotated(projected: Tensor, rotation: Tensor, positions: Tensor) -> Tensor:
    """Queries or keys [T, H, d_head], turned by their positions [S, T]; combination tokens are left as they are.

    Args:
        projected: [T, H, d_head].
        rotation: cosines and sines (`rotations`).
        positions: of each row, COMBINATION where there is none; S is 1, or the number of heads.
    """
    cosine, sine = rotation[:, positions.t().clamp(min=0)].unbind()  # [T, S, d_head / 2]; position 0 turns nothing
    half = projected.shape[-1] // 2
    turned = projected * torch.cat([cosine, cosine], -1)
    turned[..., :half].addcmul_(projected[..., half:], sine, value=-1)
    turned[..., half:].addcmul_(projected[..., :half], sine)
    return turned.to(projected.dtype)


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
