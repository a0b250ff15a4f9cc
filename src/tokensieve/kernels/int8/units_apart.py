"""The few units of a feed-forward block that stay float32 beside int8 products."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

UNITS_APART = 4
"""How many units of a feed-forward block are computed in float32."""


class UnitsApart(nn.Module):
    """The few units of a feed-forward block whose numbers are far larger than the others', in float32.

    One unit of a trained BERT may reach 25 where all others stay below 6: then 255 steps are too coarse for the others
    (after LLM.int8(), Dettmers et al., NeurIPS 2022, which takes columns out of every product).

    Attributes:
        up: [k, d] float32.
        bias: [k] float32, of `up`; a parameter, as stages of a cascade may each have biases of their own.
        down: [d, k] float32.
    """

    up: Tensor
    down: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("up", torch.zeros(UNITS_APART, width))
        self.register_buffer("down", torch.zeros(width, UNITS_APART))
        self.bias = nn.Parameter(torch.zeros(UNITS_APART))

    def forward(self, rows: Tensor, approximate: str) -> Tensor:
        """Rows [T, d] and, added to them, the share of these units in the block's result."""
        activated = F.gelu(F.linear(rows, self.up, self.bias), approximate=approximate)
        return torch.addmm(rows, activated, self.down.t())
