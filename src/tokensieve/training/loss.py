"""The training loss: the mean over the documents of a whole optimizer step, however it is cut into forward passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

PADDING_LABEL = -100
"""Class id, or value of a label, of a document that only fills a batch up; transformers ignores it."""


def step_loss(weights: Tensor | None, multi_label: bool = False) -> Callable[..., Tensor]:
    """Cross entropy as Trainer's `compute_loss_func`: the sum divided by the items of the whole optimizer step.

    A mean of the means of forward passes would weigh the documents of a short last pass more; so accumulation and the
    number of processes change nothing, with class weights or without. For multi-label models it is the binary cross
    entropy, and an item is a pair of document and label.

    Args:
        weights: of the classes [C], for multi-label models of the positive documents; or None.
        multi_label: labels are 0 or 1, [B, C], in place of class ids [B].
    """

    def loss(
        outputs: Any, labels: Tensor, num_items_in_batch: Any = None, sample_weight: Tensor | None = None
    ) -> Tensor:
        logits = outputs["logits"].float()
        class_weights = None if weights is None else weights.to(logits.device)
        items = counted(labels, sample_weight)
        if multi_label:
            each = F.binary_cross_entropy_with_logits(
                logits, labels.clamp(min=0), pos_weight=class_weights, reduction="none"
            )
            total = (each * items).sum()
        else:
            options: dict[str, Any] = {"weight": class_weights, "ignore_index": PADDING_LABEL}
            if sample_weight is None:
                total = F.cross_entropy(logits, labels, reduction="sum", **options)
            else:
                total = (F.cross_entropy(logits, labels, reduction="none", **options) * items).sum()
        return total / number_of(items, num_items_in_batch)

    return loss


def counted(labels: Tensor, sample_weight: Tensor | None = None) -> Tensor:
    """How much each item of a batch counts: [B], or [B, C] for labels [B, C].

    Without weights it is whether it counts; documents that only fill the batch up do not.

    Args:
        labels: class ids, or 0 and 1.
        sample_weight: of the documents [B]; None: each counts once.
    """
    real = labels.ne(PADDING_LABEL)
    if sample_weight is None:
        return real
    return real * (sample_weight if real.dim() == 1 else sample_weight.unsqueeze(1))


def number_of(items: Tensor, num_items_in_batch: Any = None) -> Tensor:
    """What a sum over items is divided by: the items of the whole optimizer step, else of these; 1 where none counts.

    Args:
        items: as `counted` gives them.
        num_items_in_batch: their sum over the step, as `TokensieveTrainer` counts it.
    """
    total = items.sum() if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
    return torch.where(total > 0, total, 1)


def balanced_weights(class_ids: Sequence[int], classes: int, sample_weight: Tensor | None = None) -> Tensor:
    """Inverse frequency of each class [C], mean 1 over the documents; 0 for a class without any.

    Args:
        class_ids: of the documents.
        classes: C.
        sample_weight: of the documents [N]: a class is as frequent as its documents weigh; None: each counts once.
    """
    counts = torch.bincount(torch.tensor(class_ids), sample_weight, minlength=classes)
    present, total = int((counts > 0).sum()), len(class_ids) if sample_weight is None else float(sample_weight.sum())
    return torch.where(counts > 0, total / (present * torch.where(counts > 0, counts, 1)), 0.0).float()


def balanced_positives(labels: Tensor, sample_weight: Tensor | None = None) -> Tensor:
    """Negative documents for each positive one, [C], from 0/1 labels [N, C]; 1 for a label without any.

    Args:
        labels: of the documents.
        sample_weight: of the documents [N]; None: each counts once.
    """
    weights = labels.new_ones(len(labels), dtype=torch.float64) if sample_weight is None else sample_weight
    positive = weights @ labels.to(weights)
    negative = weights @ (1 - labels).to(weights)
    return torch.where(positive > 0, negative / torch.where(positive > 0, positive, 1), 1.0).float()
