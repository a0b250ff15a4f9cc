"""Combination tokens: learned vectors that join every document, whatever its tokens stand for."""

from __future__ import annotations

import torch
from torch import nn

from tokensieve.tokens import Tokens


class CombinationTokens(nn.Module):
    """The m combination tokens; a module of their own, so that adapters can train them beside a frozen backbone."""

    def __init__(self, number: int, hidden_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(number, hidden_size))

    def forward(self, tokens: Tokens) -> Tokens:
        """Append them to every document."""
        return tokens.join(self.weight)
