"""The end of both blocks of a layer: projection, dropout, residual and norm (BERT's post-norm)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tokensieve.kernels.int8 import Int8Linear
from tokensieve.kernels.linear import ShortLinear
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.dropout import Dropout


class ResidualOutput(nn.Module):
    """The end of a block.

    Args:
        width: width of what the block computed: d for attention, intermediate_size for feed-forward.
        config: sizes.
    """

    def __init__(self, width: int, config: TokensieveConfig) -> None:
        super().__init__()
        self.dense = ShortLinear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, computed: Tensor, residual: Tensor) -> Tensor:
        """[T, d] from [T, width] and residual [T, d]."""
        if isinstance(self.dense, Int8Linear):  # at inference alone
            summed = self.dense(computed, residual)
        else:
            if computed.dtype != residual.dtype and not torch.is_autocast_enabled(computed.device.type):
                computed = computed.to(residual.dtype)  # attention of int8 products is narrower
            summed = residual + self.dropout(self.dense(computed))
        normed: Tensor = self.LayerNorm(summed)
        return normed
