"""The loss of distillation: on labels, and on the distance to a teacher's answers.

Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network" (2015).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from tokensieve.training.losses.batch import LOGITS, POOLED, counted, mean_of_documents, number_of
from tokensieve.training.recipe import Recipe


class DistillationLoss:
    """A loss on labels, and for a batch with a teacher's targets also the distance to the teacher.

    (1 - w) loss + w T^2 KL(teacher || student) at temperature T + v (1 - cosine of the two document vectors). With
    several labels a document, binary cross entropy with the teacher's probabilities replaces the divergence.

    Args:
        loss: as Trainer's `compute_loss_func`.
        recipe: w, T and v.
    """

    def __init__(self, loss: Callable[..., Tensor], recipe: Recipe) -> None:
        self.loss, self.recipe = loss, recipe

    def __call__(
        self,
        outputs: Any,
        labels: Tensor,
        num_items_in_batch: Any = None,
        sample_weight: Tensor | None = None,
        targets: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """The loss of a batch: a mean over the documents, by their weights [B].

        Args:
            outputs: of the model.
            labels: as the loss on labels takes them.
            num_items_in_batch: items of the whole optimizer step; None: of this batch.
            sample_weight: of the documents [B]; None: each counts once.
            targets: the teacher's answers to the batch, by `LOGITS` and `POOLED`; None: the loss on labels alone.
        """
        on_labels = self.loss(outputs, labels, num_items_in_batch, sample_weight)
        if targets is None:
            return on_labels
        weight, items = self.recipe.distill_weight, counted(labels, sample_weight)
        number = number_of(items, num_items_in_batch)
        apart = distance(outputs["logits"].float(), targets[LOGITS], items, self.recipe.distill_temperature)
        loss = (1 - weight) * on_labels + weight * apart / number
        if POOLED in targets:
            turned = 1 - F.cosine_similarity(outputs["pooled"].float(), targets[POOLED], dim=1)
            loss = loss + self.recipe.distill_pooled * mean_of_documents(turned, items, number)
        return loss


def distance(logits: Tensor, teacher: Tensor, items: Tensor, temperature: float = 1.0) -> Tensor:
    """The distance to a teacher's logits, summed over the documents, or over documents and labels.

    Args:
        logits: [B, C].
        teacher: [B, C].
        items: how much each document counts, [B], or each label of each, [B, C], which is then a question of its own.
        temperature: T of both.
    """
    if items.dim() == 2:
        targets = (teacher / temperature).sigmoid()
        each = F.binary_cross_entropy_with_logits(logits / temperature, targets, reduction="none")
        return temperature**2 * (each * items).sum()
    student, target = (logits / temperature).log_softmax(1), (teacher / temperature).softmax(1)
    each = F.kl_div(student, target, reduction="none").sum(1)
    return temperature**2 * (each * items).sum()
