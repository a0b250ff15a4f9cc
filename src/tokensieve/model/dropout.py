"""Dropout that remembers one byte an element for the backward pass; torch's on CPU remembers four."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """As torch.nn.Dropout, with a boolean mask on CPU (CUDA's own kernel has one already)."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape; at inference the values themselves."""
        if not self.training or self.p == 0 or input.device.type != "cpu":
            return super().forward(input)
        keep = torch.empty_like(input, dtype=torch.bool).bernoulli_(1 - self.p)
        return torch.where(keep, input, 0.0).mul_(1 / max(1 - self.p, torch.finfo(input.dtype).tiny))
