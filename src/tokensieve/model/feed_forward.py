"""The feed-forward block. Its tensors are the widest of a layer, and most of the peak memory at inference."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.activations import ACT2FN

from tokensieve.kernels.linear import ROWS_AT_INFERENCE, ShortLinear
from tokensieve.model.configuration import TokensieveConfig


class Intermediate(nn.Module):
    """First half of the feed-forward block."""

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        self.dense = ShortLinear(config.hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]

    def forward(self, values: Tensor) -> Tensor:
        """[T, intermediate_size] from [T, d]."""
        widened: Tensor = self.dense(values)
        if torch.is_grad_enabled() or getattr(self.activation, "act", None) is not F.gelu:
            activated: Tensor = self.activation(widened)
            return activated
        return torch.ops.aten.gelu_.default(widened)  # type: ignore[no-any-return]  # F.gelu has no such option


def feed_forward(attended: Tensor, intermediate: nn.Module, output: nn.Module) -> Tensor:
    """Apply both halves: [T, d] from [T, d].

    At inference on CPU a fixed number of rows is widened at a time (1.5 MB a thread at d = 384). The allocator reuses
    blocks of one size; blocks of ever new sizes do not fit where the last ones were.
    """
    alone = torch.is_grad_enabled() or attended.device.type != "cpu" or torch.compiler.is_compiling()
    rows = len(attended) if alone else ROWS_AT_INFERENCE * torch.get_num_threads()
    if rows >= len(attended):
        whole: Tensor = output(intermediate(attended), attended)
        return whole
    return torch.cat([output(intermediate(part), part) for part in attended.split(rows)])
