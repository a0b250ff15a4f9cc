"""The few training documents that something is fitted to in closed form, as batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from tokensieve.data.tokenize import TokenizedDocuments

DOCUMENTS = 256
"""So many are read; they hold some 20 000 tokens and more, for a few hundred numbers a layer."""


def sampled_batches(
    documents: TokenizedDocuments, tokenizer: Any, batch_size: int, seed: int
) -> Iterator[dict[str, Tensor]]:
    """At most `DOCUMENTS` of them, drawn by the seed and sorted by length: the model's inputs, padded."""
    drawn = torch.randperm(len(documents), generator=torch.Generator().manual_seed(seed))[:DOCUMENTS].tolist()
    drawn.sort(key=lambda number: int(documents.lengths[number]))  # documents of equal lengths run together
    for start in range(0, len(drawn), batch_size):
        items = [documents[number] for number in drawn[start : start + batch_size]]
        names = [name for name in tokenizer.model_input_names if name in items[0]]
        yield dict(tokenizer.pad([{name: item[name] for name in names} for item in items], return_tensors="pt"))
