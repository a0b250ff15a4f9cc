"""Exact gradient importance: how much the predicted class's logit moves with a token's input vector.

Source: a widely read account of PTC. It has a price that the account does not mention: the gradient is known after a
forward and a backward pass with all tokens, so a document is read twice. This score is for study. It takes ready-made
numbers (`model.gradients.token_gradients`), which the caller gives to the model beside the ids as `token_scores`. A
score that predicts them ahead of the first layer is `learned` with target "gradient".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from tokensieve.checks import Check, one_of
from tokensieve.errors import InputError
from tokensieve.reduce.contract import Score, Scorer
from tokensieve.tokens import Tokens

Kind = Literal["norm", "input-times-gradient"]


@dataclass(frozen=True)
class Gradient(Score):
    """Ready-made importances. They do not change from layer to layer.

    Attributes:
        kind: what they are, for the caller who makes them: the "norm" of the gradient, or the size of the product
            "input-times-gradient".
    """

    kind: Kind = "norm"

    name: ClassVar[str] = "gradient"
    checks: ClassVar[Mapping[str, Check]] = {"kind": one_of(get_args(Kind))}

    def scorer(self, hidden_size: int) -> GivenScores:
        """Reads what the caller gave. The two passes that make it are not among the FLOPs of a layer."""
        return GivenScores()


class GivenScores(Scorer):
    """The scores that came with the tokens."""

    @torch.no_grad()
    def forward(self, tokens: Tokens) -> Tensor:
        """Scores [1, T] float32.

        Raises:
            InputError: none came.
        """
        if tokens.scores is None:
            raise InputError(
                "prune.score=gradient needs token_scores beside input_ids: make them with "
                "tokensieve.model.gradients.token_gradients, or train with prune.score=learned and "
                "prune.score.target=gradient, which needs one pass"
            )
        return tokens.scores.unsqueeze(0)
