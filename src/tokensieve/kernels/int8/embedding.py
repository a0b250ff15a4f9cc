"""A table of words with int8 weights, for inference."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Int8Embedding(nn.Module):
    """Takes the place of a table of word vectors.

    Attributes:
        weight: [V, d] int8.
        weight_scale: [V] float32.
    """

    weight: Tensor
    weight_scale: Tensor

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(words, width, dtype=torch.int8))
        self.register_buffer("weight_scale", torch.ones(words))

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors [..., d] float32 of ids [...]."""
        return self.weight[ids].float().mul_(self.weight_scale[ids].unsqueeze(-1))
