"""The loss of in-place distillation: labels teach the model with all tokens, and its answers teach its sub-models.

Source: Length-Adaptive Transformer (Kim and Cho, ACL 2021), after Yu and Huang, "Universally Slimmable Networks and
Improved Training Techniques" (ICCV 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from tokensieve.training.losses.batch import counted, number_of
from tokensieve.training.losses.distillation import distance


def in_place_loss(
    outputs: Sequence[Any],
    labels: Tensor,
    loss: Callable[..., Tensor],
    num_items_in_batch: Any = None,
    arguments: Mapping[str, Any] | None = None,
) -> Tensor:
    """The mean over the passes: the loss of the first one, and KL(first || other) of each other one.

    Args:
        outputs: of the model with all tokens, then of its sub-models. As a target the first one gets no gradient.
        labels: class ids [B], or 0/1 labels [B, C]: then the divergence is that of `DistillationLoss`.
        loss: of the first pass, as Trainer's `compute_loss_func`.
        num_items_in_batch: items of the whole optimizer step; None: of this batch.
        arguments: further ones of the loss; `sample_weight` counts in the divergence, too.
    """
    arguments = arguments or {}
    full, *others = outputs
    items = counted(labels, arguments.get("sample_weight"))
    number, target = number_of(items, num_items_in_batch), full["logits"].detach().float()
    total = loss(full, labels, num_items_in_batch, **arguments)
    for other in others:
        total = total + distance(other["logits"].float(), target, items) / number
    return total / len(outputs)
