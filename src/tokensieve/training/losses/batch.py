"""What travels with a batch beside the model's inputs: labels, weights, and a teacher's targets. Losses read it.

A document that is not to count has weight 0. A batch whose loss reads no labels has none.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from tokensieve.data.tokenized import WEIGHT

if TYPE_CHECKING:
    from tokensieve.data.tokenized import TokenizedDocuments

LABELS = "labels"
LOGITS, POOLED = "teacher_logits", "teacher_pooled"
"""The teacher's logits and document vectors, by their names in a batch."""


class WithTargets(Dataset[dict[str, Any]]):
    """Training documents, each with the teacher's targets for it.

    Args:
        documents: N of them.
        targets: [N, ...] by their names in a batch.
    """

    def __init__(self, documents: TokenizedDocuments, targets: Mapping[str, Tensor]) -> None:
        self.documents, self.targets = documents, targets

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.documents[index] | {name: rows[index].tolist() for name, rows in self.targets.items()}


def taken_for_the_loss(batch: MutableMapping[str, Any]) -> tuple[Tensor | None, dict[str, Any]]:
    """Take out of a batch what the model does not read.

    Returns:
        The labels, if there are any; and the loss's further arguments, as far as the batch has them: `sample_weight`
        [B], and `targets` by name.
    """
    labels, weights = batch.pop(LABELS, None), batch.pop(WEIGHT, None)
    targets = {name: batch.pop(name) for name in (LOGITS, POOLED) if name in batch}
    arguments = {"sample_weight": weights, "targets": targets or None}
    return labels, {name: value for name, value in arguments.items() if value is not None}


def counted(labels: Tensor, sample_weight: Tensor | None = None) -> Tensor:
    """How much each item of a batch counts: [B], or [B, C] for labels [B, C].

    Args:
        labels: class ids, or 0 and 1; only their shape is read.
        sample_weight: of the documents [B]; None: each counts once.
    """
    once = torch.ones_like(labels, dtype=torch.bool)
    if sample_weight is None:
        return once
    return once * (sample_weight if labels.dim() == 1 else sample_weight.unsqueeze(1))


def number_of(items: Tensor, num_items_in_batch: Any = None) -> Tensor:
    """What a sum over items is divided by: the items of the whole optimizer step, else of these; 1 where none counts.

    Args:
        items: as `counted` gives them.
        num_items_in_batch: their sum over the step, as `items_in` gives it.
    """
    total = items.sum() if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
    return torch.where(total > 0, total, 1)


def mean_of_documents(values: Tensor, items: Tensor, number: Tensor) -> Tensor:
    """The mean of values [B] over the documents, by how much their items count.

    Args:
        values: of the documents.
        items: as `counted` gives them; with several labels an item is a pair of document and label.
        number: as `number_of` gives it.
    """
    counts, documents = (items, number) if items.dim() == 1 else (items.amax(1), number / items.shape[1])
    return (values * counts).sum() / documents


def items_in(batch: Mapping[str, Any]) -> Tensor:
    """What a batch adds to the items of its step: its documents by weight, of several labels for each label."""
    rows = batch[LABELS] if LABELS in batch else batch["input_ids"][:, 0]
    return counted(rows, batch.get(WEIGHT)).sum()
