"""What a training is asked for, which is checked before a model is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tokensieve.config import ReductionConfig
from tokensieve.data.splits import DataSplits
from tokensieve.data.weights import check_weights
from tokensieve.errors import ConfigError
from tokensieve.training.recipe import Recipe
from tokensieve.training.unlabelled import check_unlabelled


@dataclass(frozen=True)
class TrainingJob:
    """The arguments of `tokensieve.training.train.train`, which describes them."""

    base: str | Path
    settings: ReductionConfig
    splits: DataSplits
    output: str | Path
    recipe: Recipe
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    overwrite: bool = False
    resume: bool = False
    keep_finished: bool = False
    checkpoint_steps: int | None = None
    data_name: str = ""
    progress: bool = True
    callbacks: Sequence[Any] = ()
    report_to: str | Sequence[str] = ()
    run_name: str | None = None
    reading: Mapping[str, Any] | None = None

    def check(self) -> None:
        """Refuse what no stage could work with; what a stage needs it refuses by itself.

        Raises:
            ConfigError: documents without labels that nothing reads, or a number of steps that is none.
            DataError: weights of documents that are no weights, or all 0.
        """
        if self.checkpoint_steps is not None and self.checkpoint_steps < 1:
            raise ConfigError(f"checkpoint_steps={self.checkpoint_steps}: give a whole number of 1 or more")
        check_unlabelled(self.recipe, self.splits)
        check_weights(self.splits.train, "training")
        check_weights(self.splits.validation, "validation")
