"""What all kinds of inputs share: combination tokens that join, and whether special tokens are protected."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.inputs.combination import CombinationTokens
from tokensieve.tokens import Tokens


class Inputs(nn.Module):
    """Packs a checked batch and embeds it. A subclass has `forward`, which ends in `packed`.

    Attributes:
        protects: whether special tokens may not leave.
        combination_tokens: those that join every document; None: there are none. A subclass sets it behind its other
            modules, as random weights are drawn in that order.
    """

    combination_tokens: CombinationTokens | None

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        self.protects = config.settings.protect_special

    @staticmethod
    def joining(config: TokensieveConfig) -> CombinationTokens | None:
        """The combination tokens that a config asks for."""
        number = config.settings.joined_tokens
        return CombinationTokens(number, config.hidden_size) if number else None

    def packed(
        self,
        values: Tensor,
        lengths: tuple[int, ...],
        origin: Tensor,
        protected: Tensor,
        scores: Tensor | None = None,
    ) -> Tokens:
        """The packed tokens of vectors [T, d], each document's combination tokens behind its own."""
        counts = tuple(int(part.sum()) for part in protected.cpu().split(list(lengths)))
        tokens = Tokens(values, lengths, origin, protected, counts, scores=scores)
        return tokens if self.combination_tokens is None else self.combination_tokens(tokens)

    @torch.no_grad()
    def start_combination_tokens(self) -> None:
        """Start the combination tokens as vectors like those of the inputs (`typical`)."""
        assert self.combination_tokens is not None
        self.combination_tokens.weight.copy_(self.typical(len(self.combination_tokens.weight)))

    def typical(self, number: int) -> Tensor:
        """Vectors [number, d] that differ, as inputs may have them."""
        raise NotImplementedError
