"""What a classifier makes of some documents: logits, document vectors, and what became of the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tokensieve.model.trace import Trace


class Answers(NamedTuple):
    """The answers to some documents.

    Attributes:
        logits: [B, C].
        pooled: [B, d] document vectors, which the head's last layer reads.
        trace: what became of the tokens; ragged.
    """

    logits: Tensor
    pooled: Tensor
    trace: Trace

    @staticmethod
    def joined(parts: Sequence[Answers]) -> Answers:
        """The answers to all documents, one part after the other; all parts have the same number of steps."""
        if len(parts) == 1:
            return parts[0]
        logits, pooled = torch.cat([part.logits for part in parts]), torch.cat([part.pooled for part in parts])
        return Answers(logits, pooled, Trace.joined([part.trace for part in parts]))

    def picked(self, documents: Sequence[int]) -> Answers:
        """The answers to these documents, in this order."""
        rows = torch.tensor(documents, device=self.logits.device)
        return Answers(self.logits[rows], self.pooled[rows], self.trace.picked(documents))
