"""Which weights of a run are kept: the best epoch's, or those that it began with, where these were trained already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from tokensieve.data.tokenize import TokenizedDocuments
from tokensieve.training.recipe import Recipe


@dataclass(frozen=True)
class Start:
    """A trained classifier that a run begins with: epoch 0, which the epochs that follow have to surpass.

    On small data further epochs can cost more than leaving tokens out does (docs/LOG.md).

    Attributes:
        weights: by name.
        scores: of the validation documents, as Trainer's log has them of an epoch.
    """

    weights: dict[str, Tensor]
    scores: dict[str, Any]

    def put_back(self, model: nn.Module) -> None:
        """Give the model its first weights again."""
        model.load_state_dict(self.weights)


def judged_start(trainer: Any, validation: TokenizedDocuments) -> Start:
    """What a Trainer's model, a copy that nobody trains, makes of the validation documents; trackers are not told."""
    scores = trainer.predict(validation, metric_key_prefix="eval").metrics
    return Start(trainer.model.state_dict(), {**scores, "epoch": 0.0, "step": 0})


def best_epoch(history: Sequence[dict[str, Any]], recipe: Recipe) -> dict[str, Any] | None:
    """Validation figures of the epoch whose weights are kept, the first of equals; None without validation."""
    evaluated = [entry for entry in history if "eval_loss" in entry]
    if not evaluated:
        return None
    if recipe.select == "loss":
        return min(evaluated, key=lambda entry: entry["eval_loss"])
    return max(evaluated, key=lambda entry: entry[f"eval_{recipe.select}"])
