"""The loss on labels: the mean over the documents of a whole optimizer step, however it is cut into forward passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.training.losses.batch import counted, number_of

if TYPE_CHECKING:
    from tokensieve.data.tokenized import TokenizedDocuments
    from tokensieve.training.recipe import Recipe


def label_loss(documents: TokenizedDocuments, recipe: Recipe, classes: int) -> Callable[..., Tensor]:
    """The loss of training documents, with the class weights that the recipe asks for.

    Args:
        documents: with labels.
        recipe: `class_weights` is read.
        classes: C.
    """
    return step_loss(loss_weights(documents, recipe, classes), documents.label_matrix is not None)


def loss_weights(documents: TokenizedDocuments, recipe: Recipe, classes: int) -> Tensor | None:
    """Weights of the classes, or of each label's positive documents, for class_weights="balanced"; else None."""
    if recipe.class_weights == "none":
        return None
    if documents.label_matrix is not None:
        return balanced_positives(documents.label_matrix, documents.weights)
    return balanced_weights(documents.class_ids, classes, documents.weights)


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
            each = F.binary_cross_entropy_with_logits(logits, labels, pos_weight=class_weights, reduction="none")
            total = (each * items).sum()
        elif sample_weight is None:
            total = F.cross_entropy(logits, labels, weight=class_weights, reduction="sum")
        else:
            total = (F.cross_entropy(logits, labels, weight=class_weights, reduction="none") * items).sum()
        return total / number_of(items, num_items_in_batch)

    return loss


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
