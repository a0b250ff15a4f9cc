"""What positions do to attention, for the reference forward: a pair of rows by a pair, and complex numbers.

Rows are the text of a right-padded batch, whose place is their position, and the last m of them combination tokens,
which have none.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tokensieve.model.block import Blocks
from tokensieve.model.configuration import TokensieveConfig


def position_bias(config: TokensieveConfig, table: Tensor | None, number: int, rows: int, m: int) -> Tensor:
    """What is added to the logits of a layer [H, R, R]: the relative bias, and minus infinity beyond the window.

    Distances below a quarter of the buckets have one each, up to 128 tokens they have logarithmic ones; the second half
    of the buckets is for keys behind the query in the text.

    Args:
        config: of the model.
        table: [buckets, H], or None.
        number: of the layer in the source checkpoint.
        rows: R.
        m: combination tokens.
    """
    bias = torch.zeros(config.num_attention_heads, rows, rows)
    window = config.block.window if number in config.block.local_layers else None
    if table is None and window is None:
        return bias
    for query in range(rows - m):
        for key in range(rows - m):
            if table is not None:
                bias[:, query, key] = table[bucket(key - query, len(table))]
            if window is not None and abs(key - query) > window:
                bias[:, query, key] = -torch.inf
    return bias


def bucket(distance: int, buckets: int) -> int:
    """The bucket of a distance, key less query."""
    side, far = buckets // 2, abs(distance)
    if far >= side // 2:
        share = torch.log(torch.tensor(far / (side // 2))) / math.log(128 / (side // 2))
        far = min(side - 1, side // 2 + int(share * (side - side // 2)))
    return far + (side if distance > 0 else 0)


def turned(blocks: Blocks, number: int, projected: Tensor, m: int) -> Tensor:
    """Queries or keys [B, H, R, d_head], whose halves are complex numbers that turn with the position of their row."""
    local = number in blocks.local_layers and blocks.local_rotary_base is not None
    base = blocks.local_rotary_base if local else blocks.rotary_base
    if base is None:
        return projected
    rows, width = projected.shape[2:]
    position = torch.cat([torch.arange(rows - m), torch.zeros(m)]).unsqueeze(1)
    angle = position * base ** (-torch.arange(0, width, 2) / width)
    first, second = projected.float().chunk(2, dim=-1)
    product = torch.complex(first, second) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([product.real, product.imag], -1).to(projected.dtype)
