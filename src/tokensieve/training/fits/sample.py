"""The few training documents that something is fitted to in closed form, as batches, and the type of its sums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tokensieve.data.tokenized import TokenizedDocuments

DOCUMENTS = 256
"""The most documents that are read: 20 000 tokens or more, enough to fit a few hundred numbers a layer."""


@dataclass(frozen=True)
class Sample:
    """At most `DOCUMENTS` training documents, none of weight 0.

    Attributes:
        documents: what they are drawn from.
        tokenizer: pads.
        batch_size: documents at a time.
        seed: of the draw.
    """

    documents: TokenizedDocuments
    tokenizer: Any
    batch_size: int = 16
    seed: int = 0

    def __len__(self) -> int:
        return min(len(self._candidates()), DOCUMENTS)

    @property
    def weights(self) -> Tensor | None:
        """Weight of each document [N], in the order of the batches; None: each counts once."""
        return None if self.documents.weights is None else self.documents.weights[self._drawn()]

    def _candidates(self) -> Tensor:
        """Rows of the documents that count."""
        weights = self.documents.weights
        return torch.arange(len(self.documents)) if weights is None else weights.nonzero().flatten()

    def _drawn(self) -> list[int]:
        """Rows of the documents that are read, by length."""
        candidates, generator = self._candidates(), torch.Generator().manual_seed(self.seed)
        drawn: list[int] = candidates[torch.randperm(len(candidates), generator=generator)[: len(self)]].tolist()
        return sorted(drawn, key=lambda number: int(self.documents.lengths[number]))

    def batches(self, device: torch.device) -> Iterator[dict[str, Tensor]]:
        """The model's inputs, padded, the same ones every time; documents of equal lengths run together."""
        drawn = self._drawn()
        for start in range(0, len(drawn), self.batch_size):
            yield padded(
                [self.documents[number] for number in drawn[start : start + self.batch_size]], self.tokenizer, device
            )


def padded(items: Sequence[Mapping[str, Any]], tokenizer: Any, device: torch.device) -> dict[str, Tensor]:
    """Tokenized documents as the inputs of a model, without labels."""
    names = [name for name in (*tokenizer.model_input_names, "special_tokens_mask") if name in items[0]]
    batch = tokenizer.pad([{name: item[name] for name in names} for item in items], return_tensors="pt")
    return {name: rows.to(device) for name, rows in batch.items()}


def sum_type(device: torch.device) -> torch.dtype:
    """What the sums of a fit are added up in: float64, where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64
