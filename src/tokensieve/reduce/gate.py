"""A gate: what a selection learns in one layer. In training rows have weights in [0, 1], and at evaluation rows leave.

A selection that learns has a gate in each layer that prunes. While the gate is soft, no row leaves in training: each
has a weight with a gradient, and the gate says what the weight multiplies. It also adds a penalty to the loss, so that
weights fall. Once it is hard, rows leave in training as they do at evaluation.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from tokensieve.kernels.ragged import document_means
from tokensieve.reduce.starts import Starts
from tokensieve.tokens import Tokens


class Gate(Starts, nn.Module):
    """The gate of one layer; its parameters are saved with the model.

    Attributes:
        lasting: a row's weight is multiplied by those of the layers before, and it weighs the row as a key.
        attached: the gradient of the weights reaches the attention that the scores are made of.
        soft: whether rows have weights in training; False: they leave, as at evaluation.
    """

    lasting: ClassVar[bool] = False
    attached: bool = False

    def __init__(self) -> None:
        super().__init__()
        self.soft = True

    @property
    def acts(self) -> bool:
        """Whether rows have weights now."""
        return self.soft and self.training

    def margins(self, scores: Tensor) -> Tensor:
        """What the selection reads in place of the scores [S, K]."""
        return scores

    @abstractmethod
    def weigh(self, margins: Tensor, tokens: Tokens, free: Tensor) -> Tensor:
        """Weights [T] in [0, 1] of the rows by their margins [T]; those of rows that are not `free` are not read."""

    @abstractmethod
    def penalty(self, weights: Tensor, tokens: Tokens) -> Tensor:
        """What the weights [T] add to the loss of each document, [B]."""

    def between(self, mixed: Tensor, weights: Tensor) -> Tensor:
        """The rows [T, d] between attention and feed-forward, as the weights change them."""
        return mixed

    def behind(self, computed: Tensor, entered: Tensor, weights: Tensor) -> Tensor:
        """What leaves the layer, [T, d], of what it computed and of what entered it."""
        return computed

    def project(self) -> None:
        """Take the parameters back into their range, after a step of the optimizer."""

    @property
    def share(self) -> float | None:
        """The share of a document's tokens that the layer has learned to leave; None: it depends on the document."""
        return None

    def report(self) -> dict[str, float]:
        """What it has learned, for the record of the training."""
        return {}

    def forward(self, scores: Tensor, tokens: Tokens, exempt: Sequence[bool]) -> tuple[Tokens, Tensor]:
        """Weigh the rows.

        Args:
            scores: [1, T], by the score.
            tokens: the batch.
            exempt: for each document, whether it is not pruned.

        Returns:
            The tokens with the weights and the penalty of the layers so far, and the weights [T] that act in this one.
        """
        free = free_rows(tokens, exempt)
        margins = self.margins(scores)[0]
        weights = torch.where(free, self.weigh(margins, tokens, free), 1.0)
        total = weights if tokens.weights is None else tokens.weights * weights
        acting = total if self.lasting else weights
        penalty = self.penalty(acting, tokens)
        penalty = penalty if tokens.penalty is None else tokens.penalty + penalty
        key_weights = total if self.lasting else tokens.key_weights
        return replace(tokens, weights=total, key_weights=key_weights, penalty=penalty), acting


def free_rows(tokens: Tokens, exempt: Sequence[bool]) -> Tensor:
    """Which rows a gate may close, [T] bool: those that are not protected, of documents that are pruned."""
    device = tokens.values.device
    counts = torch.tensor(tokens.lengths, device=device)
    pruned = ~torch.tensor(list(exempt), device=device)
    return pruned.repeat_interleave(counts, output_size=len(tokens.values)) & ~tokens.protected


def mean_weights(weights: Tensor, tokens: Tokens) -> Tensor:
    """The mean weight of each document's rows, [B], of weights [T]: over its own rows, never over padding."""
    return document_means(weights.unsqueeze(1), tokens.lengths).squeeze(1)
