"""First tokens: the earlier a token stands, the higher its score; what truncation keeps.

Source: none; a floor for comparisons. Documents often begin with what they are about, so that a method which reads the
whole text has to beat the same number of tokens from its beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tokensieve.reduce.contract import Score, Scorer
from tokensieve.tokens import Tokens


@dataclass(frozen=True)
class First(Score):
    """The position in the document, counted from its end."""

    name: ClassVar[str] = "first"

    def scorer(self, hidden_size: int) -> FirstScorer:
        """Needs no hidden state."""
        return FirstScorer()


class FirstScorer(Scorer):
    """Scores of the rows that stand before a layer."""

    @torch.no_grad()
    def forward(self, tokens: Tokens) -> Tensor:
        """Scores [1, T] float32: 0 for a document's first token, then -1, -2 and so on."""
        return -tokens.origin.float().unsqueeze(0)
