"""The feed-forward block. Its tensors are the widest of a layer, and most of the peak memory at inference."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.activations import ACT2FN

from tokensieve.kernels.int8.linear import Int8Linear
from tokensieve.kernels.int8.units_apart import UnitsApart
from tokensieve.kernels.linear import ROWS_AT_INFERENCE, ShortLinear
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.norms import norm_of

_GELU = {"gelu": "none", "gelu_new": "tanh", "gelu_fast": "tanh", "gelu_pytorch_tanh": "tanh"}
"""How the activations that are GELU compute it, in the words of `torch.nn.functional.gelu`."""


class Intermediate(nn.Module):
    """First half of the feed-forward block; ahead of it the norm, where norms come first.

    Attributes:
        gated: whether the second half of the widened numbers multiplies the activation of the first half.
        gelu: how the activation computes GELU, if the whole of the widened numbers is activated by it; else None.
        apart: units that are computed beside int8 products.
    """

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        blocks = config.block
        self.gated = blocks.gated
        widened = config.intermediate_size * (2 if self.gated else 1)
        self.LayerNorm = norm_of(config.hidden_size, config) if blocks.norm_first else None
        self.dense: nn.Module = ShortLinear(config.hidden_size, widened, blocks.feed_forward_bias)
        self.activation = ACT2FN[config.hidden_act]
        self.gelu = None if self.gated else _GELU.get(config.hidden_act)
        self.apart: UnitsApart | None = None

    def forward(self, values: Tensor, reader: nn.Module | None = None) -> Tensor:
        """[T, intermediate_size] from [T, d]: float, or as `reader`, the linear layer that reads it, takes it."""
        if self.LayerNorm is not None:
            values = self.LayerNorm(values)
        if isinstance(self.dense, Int8Linear) and self.gelu is not None:
            return self.dense.gelu(values, self.gelu, reader)
        widened: Tensor = self.dense(values)
        if self.gated:
            first, second = widened.chunk(2, dim=-1)
            activated: Tensor = self.activation(first)
            return activated * second if torch.is_grad_enabled() else activated.mul_(second)
        if torch.is_grad_enabled() or getattr(self.activation, "act", None) is not F.gelu:
            activated = self.activation(widened)
            return activated
        return torch.ops.aten.gelu_.default(widened)  # type: ignore[no-any-return]  # F.gelu has no such option


def feed_forward(attended: Tensor, intermediate: Intermediate, output: nn.Module) -> Tensor:
    """Apply both halves: [T, d] from [T, d].

    At inference on CPU a fixed number of rows is widened at a time (1.5 MB a thread at d = 384). The allocator reuses
    blocks of one size; blocks of ever new sizes do not fit where the last ones were.
    """
    at_once = ROWS_AT_INFERENCE * (2 if isinstance(intermediate.dense, Int8Linear) else 1)  # narrower numbers
    alone = torch.is_grad_enabled() or attended.device.type != "cpu" or torch.compiler.is_compiling()
    rows = len(attended) if alone else at_once * torch.get_num_threads()
    if rows >= len(attended):
        return _both(attended, intermediate, output)
    return torch.cat([_both(part, intermediate, output) for part in attended.split(rows)])


def _both(attended: Tensor, intermediate: Intermediate, output: nn.Module) -> Tensor:
    residual = attended
    if intermediate.apart is not None and intermediate.gelu is not None:
        residual = intermediate.apart(attended, intermediate.gelu)
    whole: Tensor = output(intermediate(attended, output.dense), residual)
    return whole
