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

    def loss(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        logits = outputs["logits"].float()
        class_weights = None if weights is None else weights.to(logits.device)
        items = labels.ne(PADDING_LABEL)
        if multi_label:
            each = F.binary_cross_entropy_with_logits(
                logits, labels.clamp(min=0), pos_weight=class_weights, reduction="none"
            )
            total = (each * items).sum()
        else:
            total = F.cross_entropy(logits, labels, weight=class_weights, ignore_index=PADDING_LABEL, reduction="sum")
        return total / (items.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch)

    return loss


def balanced_weights(class_ids: Sequence[int], classes: int) -> Tensor:
    """Inverse frequency of each class [C], mean 1 over the documents; 0 for a class without any."""
    counts = torch.bincount(torch.tensor(class_ids), minlength=classes)
    present = int((counts > 0).sum())
    return torch.where(counts > 0, len(class_ids) / (present * counts.clamp(min=1)), 0.0)


def balanced_positives(labels: Tensor) -> Tensor:
    """Negative documents for each positive one, [C], from 0/1 labels [N, C]; 1 for a label without any."""
    positive = labels.sum(0)
    return torch.where(positive > 0, (len(labels) - positive) / positive.clamp(min=1), 1.0)
