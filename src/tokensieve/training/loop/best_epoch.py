"""Which weights of a run are kept: the best epoch's, or those of a trained classifier that it began with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.errors import TrainingError
from tokensieve.training.recipe import Recipe


@dataclass(frozen=True)
class EpochZero:
    """A trained classifier that a run begins with, which later epochs have to surpass.

    On small data further epochs can cost more than leaving tokens out does (docs/log/2026-11-26.md).

    Attributes:
        weights: by name, on the CPU.
        scores: of the validation documents, named as in Trainer's log.
        logits: [N, C] float32 of these documents.
        truth: their class ids [N], or 0/1 labels [N, C].
    """

    weights: dict[str, Tensor]
    scores: dict[str, Any]
    logits: Any
    truth: Any

    def put_back(self, model: nn.Module) -> None:
        """Give the model its first weights again."""
        model.load_state_dict(self.weights)


def score_epoch_zero(trainer: Any, validation: TokenizedDocuments) -> EpochZero:
    """Score the model of a Trainer, a copy that is not trained, on the validation documents; trackers get nothing."""
    predicted = trainer.predict(validation, metric_key_prefix="eval")
    weights = {name: weight.cpu() for name, weight in trainer.model.state_dict().items()}
    return EpochZero(
        weights, {**predicted.metrics, "epoch": 0.0, "step": 0}, predicted.predictions, predicted.label_ids
    )


def best_epoch(history: Sequence[dict[str, Any]], recipe: Recipe) -> dict[str, Any] | None:
    """Validation figures of the epoch whose weights are kept, the first among equals; None without validation."""
    evaluated = [entry for entry in history if "eval_loss" in entry]
    if not evaluated:
        return None
    if recipe.select == "loss":
        return min(evaluated, key=lambda entry: entry["eval_loss"])
    return max(evaluated, key=lambda entry: entry[f"eval_{recipe.select}"])


def check_converged(history: Sequence[dict[str, Any]], recipe: Recipe) -> None:
    """Raise TrainingError if a loss or gradient is no finite number any more: then the weights are worth nothing."""
    for entry in history:
        for name in ("loss", "grad_norm", "eval_loss"):
            if name in entry and not math.isfinite(entry[name]):
                if not entry.get("epoch"):
                    raise TrainingError(f"{name} of the classifier to start from is {entry[name]}: start from another")
                raise TrainingError(
                    f"training diverged: {name} is {entry[name]} after epoch {entry['epoch']:g}; "
                    f"lower the learning rate (learning_rate={recipe.learning_rate:g})"
                )
