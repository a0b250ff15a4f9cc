"""The end of both blocks of a layer: projection, dropout, residual and, where norms stand there, the norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tokensieve.kernels.int8 import Int8Linear
from tokensieve.kernels.linear import ShortLinear
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.dropout import Dropout
from tokensieve.model.norms import norm_of


class ResidualOutput(nn.Module):
    """The end of a block.

    Args:
        width: width of what the block computed: d for attention, intermediate_size for feed-forward.
        config: sizes.
        bias: whether the projection has one.
    """

    def __init__(self, width: int, config: TokensieveConfig, bias: bool) -> None:
        super().__init__()
        self.dense = ShortLinear(width, config.hidden_size, bias)
        self.LayerNorm = None if config.block.norm_first else norm_of(config.hidden_size, config)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, computed: Tensor, residual: Tensor) -> Tensor:
        """[T, d] from [T, width] and residual [T, d]."""
        if isinstance(self.dense, Int8Linear):  # at inference alone
            summed = self.dense(computed, residual)
        else:
            if computed.dtype != residual.dtype and not torch.is_autocast_enabled(computed.device.type):
                computed = computed.to(residual.dtype)  # attention of int8 products is narrower
            summed = residual + self.dropout(self.dense(computed))
        normed: Tensor = summed if self.LayerNorm is None else self.LayerNorm(summed)
        return normed
