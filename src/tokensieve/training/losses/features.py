"""The loss of feature distillation: how far a model's document vectors are from a teacher's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tokensieve.training.losses.batch import POOLED, counted, number_of


class FeatureLoss:
    """Mean squared distance of document vectors to the teacher's, less the mean shift of the batch.

    Args:
        variance: of the teacher's vectors; the loss is a share of it.
    """

    def __init__(self, variance: float) -> None:
        self.variance = max(variance, 1e-30)

    def __call__(
        self,
        outputs: Any,
        labels: Tensor | None,
        num_items_in_batch: Any = None,
        sample_weight: Tensor | None = None,
        *,
        targets: Mapping[str, Tensor],
    ) -> Tensor:
        """The loss of a batch.

        Args:
            outputs: of the model.
            labels: are not read.
            num_items_in_batch: documents of the whole optimizer step, by weight; None: of this batch.
            sample_weight: of the documents [B]; None: each counts once.
            targets: the teacher's vectors [B, d] by `POOLED`.
        """
        shifts = outputs["pooled"].float() - targets[POOLED]
        counts = counted(shifts[:, 0], sample_weight)
        shares = counts.unsqueeze(1)
        centred = shifts - (shifts * shares).sum(0) / number_of(counts)
        distance: Tensor = (centred.square() * shares).sum() / self.variance / number_of(counts, num_items_in_batch)
        return distance
