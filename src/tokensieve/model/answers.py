"""Answers: the logits, document vectors and token trace of a batch of documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tokensieve.model.trace import Trace


class Answers(NamedTuple):
    """The answers to a batch of documents.

    Attributes:
        logits: [B, C].
        pooled: [B, d] document vectors, which the head's last layer reads.
        trace: which tokens were kept in each step; ragged.
        penalty: [B], what gates that are trained add to the loss of each document; None where none is trained.
    """

    logits: Tensor
    pooled: Tensor
    trace: Trace
    penalty: Tensor | None = None

    @staticmethod
    def joined(parts: Sequence[Answers]) -> Answers:
        """Concatenate the answers to parts of a batch; all parts have the same number of steps."""
        if len(parts) == 1:
            return parts[0]
        logits, pooled = torch.cat([part.logits for part in parts]), torch.cat([part.pooled for part in parts])
        return Answers(logits, pooled, Trace.joined([part.trace for part in parts]))

    def picked(self, documents: Sequence[int]) -> Answers:
        """Select the answers to these documents, in this order."""
        rows = torch.tensor(documents, device=self.logits.device)
        return Answers(self.logits[rows], self.pooled[rows], self.trace.picked(documents))
