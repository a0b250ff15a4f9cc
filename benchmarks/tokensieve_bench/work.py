"""What contenders work on: the documents of a cell, in batches that are the same for all."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tokensieve_bench.backbone import Backbone

Order = Literal["given", "sorted"]


@dataclass(frozen=True)
class Batch:
    """Documents side by side, padded on the right to the longest of them.

    Attributes:
        input_ids: [B, L] int64.
        attention_mask: [B, L] int64, 1 for real tokens.
        documents: their places among the documents of the work.
    """

    input_ids: Tensor
    attention_mask: Tensor
    documents: tuple[int, ...]


@dataclass(frozen=True)
class Work:
    """The documents of a cell.

    Attributes:
        batch: documents of a batch; the last may have fewer.
        length: tokens of every document, or None where they have their own.
        ids: of each document.
        texts: of each document, or none.
        max_length: at which texts are truncated.
        pad: the id that fills.
    """

    batch: int
    length: int | None
    ids: tuple[tuple[int, ...], ...]
    texts: tuple[str, ...]
    max_length: int
    pad: int

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each document, special tokens included."""
        return tuple(map(len, self.ids))

    def batches(self, order: Order) -> list[Batch]:
        """All documents in batches, as they were given, or longest first."""
        places = list(range(len(self.ids)))
        if order == "sorted":
            places.sort(key=lambda place: -len(self.ids[place]))
        return self.batches_of(places)

    def batches_of(self, places: Sequence[int]) -> list[Batch]:
        """These documents in batches, in this order."""
        chunks = (places[start : start + self.batch] for start in range(0, len(places), self.batch))
        return [pad_batch([self.ids[place] for place in chunk], chunk, self.pad) for chunk in chunks]


def pad_batch(rows: Sequence[Sequence[int]], documents: Sequence[int], pad: int) -> Batch:
    """A batch of these rows."""
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return Batch(ids, mask, tuple(documents))


def random_ids(backbone: Backbone, documents: int, length: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """Documents of random ids between the special tokens that begin and end one."""
    first, last = backbone.special_ids
    reserved = {first, last, backbone.config.pad_token_id}
    generator = random.Random(seed)
    ordinary = [word for word in range(backbone.config.vocab_size) if word not in reserved]
    return tuple((first, *generator.choices(ordinary, k=length - 2), last) for _ in range(documents))
