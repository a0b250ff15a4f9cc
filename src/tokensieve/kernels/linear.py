"""The linear layer, with a product of its own for few rows at inference on CPU: single documents, and what is left of
a batch once it is pruned and combined.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FEW_ROWS, _VERY_FEW_ROWS = 128, 6  # beyond the first little is won; up to the second, padding costs more
_ROWS_AT_ONCE = 8  # float32 in a register of 256 bits
_WIDE = 512  # weights of narrower models stay in the processor's cache, and nothing is won


class Linear(nn.Linear):
    """`nn.Linear`, to the parameter names; few rows come back in another memory layout.

    y = x Wᵀ makes MKL rearrange all of W at every call, which for a short x takes as long as the product itself.
    Computed as (W xᵀ)ᵀ, with x padded to whole registers, it is x that is rearranged: 1.1 to 1.6 times faster
    (docs/LOG.md). The result lies in memory column by column, as elementwise operations and the next product can read
    it. Attention cannot without a copy; its query, key and value are no layers of this kind.
    """

    def forward(self, rows: Tensor) -> Tensor:
        """[T, out_features] from [T, in_features]; strides (1, T or a little more) where the rows are few."""
        if not self._is_short(rows):
            return F.linear(rows, self.weight, self.bias)
        count = len(rows)
        if count > _VERY_FEW_ROWS and count % _ROWS_AT_ONCE:
            rows = F.pad(rows, (0, 0, 0, -count % _ROWS_AT_ONCE))
        return torch.addmm(self.bias.unsqueeze(1), self.weight, rows.t()).t()[:count]

    def _is_short(self, rows: Tensor) -> bool:
        if torch.is_grad_enabled() or rows.dim() != 2 or not 1 < len(rows) <= _FEW_ROWS:
            return False
        plain = rows.device.type == "cpu" and rows.dtype == self.weight.dtype == torch.float32
        return plain and min(self.weight.shape) >= _WIDE and not torch.is_autocast_enabled("cpu")
