"""The end of both blocks of a layer: projection, layer scale, dropout, residual and norm, where a family has them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tokensieve.kernels.int8.linear import Int8Linear
from tokensieve.kernels.linear import ShortLinear
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.dropout import Dropout
from tokensieve.model.norms import norm_of


class ResidualOutput(nn.Module):
    """The end of a block.

    Attributes:
        scale: [d], by which what the block adds is multiplied, in families with layer scale; else None.

    Args:
        width: width of what the block computed: d for attention, intermediate_size for feed-forward.
        config: sizes.
        bias: whether the projection has one.
    """

    def __init__(self, width: int, config: TokensieveConfig, bias: bool) -> None:
        super().__init__()
        self.dense = ShortLinear(width, config.hidden_size, bias)
        self.LayerNorm = None if config.block.norm_first else norm_of(config.hidden_size, config)
        self.scale = nn.Parameter(torch.ones(config.hidden_size)) if config.block.layer_scale else None
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, computed: Tensor, residual: Tensor) -> Tensor:
        """[T, d] from [T, width] and residual [T, d]."""
        if isinstance(self.dense, Int8Linear) and self.scale is None:  # at inference alone
            summed = self.dense(computed, residual)
        else:
            if computed.dtype != residual.dtype and not torch.is_autocast_enabled(computed.device.type):
                computed = computed.to(residual.dtype)  # attention of int8 products is narrower
            added = self.dense(computed)
            summed = residual + self.dropout(added if self.scale is None else added * self.scale)
        normed: Tensor = summed if self.LayerNorm is None else self.LayerNorm(summed)
        return normed
