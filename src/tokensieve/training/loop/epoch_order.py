"""The order of the training documents: the same for any number of processes, each document once an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler
from transformers import TrainerCallback

from tokensieve.data.tokenized import WEIGHT


class EpochOrder(Sampler[int]):
    """A new permutation for every epoch, from the seed and the epoch alone, so that a resumed run finds it again.

    Several processes take turns at the batches and must all have as many; accelerate would repeat the first documents
    for that. Here numbers beyond the last document fill up; `PaddedDocuments` makes documents of weight 0 of them.

    Args:
        documents: how many there are.
        multiple: fill up to a multiple of this; 1: not at all.
        seed: of the permutations.
    """

    def __init__(self, documents: int, multiple: int, seed: int) -> None:
        self.documents, self.seed, self.epoch = documents, seed, 0
        self.total = -(-documents // multiple) * multiple

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation that comes next."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        yield from torch.randperm(self.documents, generator=generator).tolist()
        yield from range(self.documents, self.total)

    def __len__(self) -> int:
        return self.total


class PaddedDocuments(Dataset[dict[str, Any]]):
    """Training documents, and beyond the last one copies of the first, whose weight is 0.

    Beside copies every document has a weight, as all documents of a batch have the same fields.

    Args:
        documents: have a length.
        total: how many there are with the copies.
    """

    def __init__(self, documents: Any, total: int) -> None:
        self.documents, self.total = documents, total

    def __len__(self) -> int:
        """The documents without the copies."""
        return len(self.documents)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if self.total <= len(self):
            return self.documents[index]  # type: ignore[no-any-return]
        if index < len(self):
            return {WEIGHT: 1.0, **self.documents[index]}
        return {**self.documents[0], WEIGHT: 0.0}


class SetEpoch(TrainerCallback):
    """Tell the order which epoch begins: Trainer does not reach the sampler within a resumed epoch's wrapper."""

    def __init__(self, order: EpochOrder) -> None:
        self.order = order

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Mapping[str, Any]) -> None:
        """Round `state.epoch` down, which counts epochs as a fraction."""
        self.order.set_epoch(int(state.epoch or 0))
