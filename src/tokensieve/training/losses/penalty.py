"""The loss of a model whose gates are trained: any loss, and the penalty of each document's gates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from tokensieve.training.losses.batch import counted, mean_of_documents, number_of


class PenalisedLoss:
    """A loss of answers, and what the gates add to it (`reduce.gate`): a mean over the documents of a whole step.

    Args:
        loss: as Trainer's `compute_loss_func`, or a `DistillationLoss`.
    """

    def __init__(self, loss: Callable[..., Tensor]) -> None:
        self.loss = loss

    def __call__(
        self,
        outputs: Any,
        labels: Tensor,
        num_items_in_batch: Any = None,
        sample_weight: Tensor | None = None,
        targets: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """The loss of a batch.

        Args:
            outputs: of the model, with its "penalty" [B].
            labels: as the loss takes them.
            num_items_in_batch: items of the whole optimizer step; None: of this batch.
            sample_weight: of the documents [B]; None: each counts once.
            targets: a teacher's answers to the batch; None: there is no teacher.
        """
        given = {} if targets is None else {"targets": targets}
        of_answers: Tensor = self.loss(outputs, labels, num_items_in_batch, sample_weight, **given)
        penalty, items = outputs["penalty"], counted(labels, sample_weight)
        number = number_of(items, num_items_in_batch)
        return of_answers + mean_of_documents(penalty.float(), items, number)
