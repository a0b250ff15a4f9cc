"""What is fitted to the trained classifier that a run starts from, ahead of the epochs on labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tokensieve.cascade.build import stages_of
from tokensieve.model.layer import unfitted
from tokensieve.training.feature_distillation import distil_features
from tokensieve.training.head_refit import refit_head
from tokensieve.training.importance import fit_importance
from tokensieve.training.job import Prepared, TrainingJob
from tokensieve.training.sample import Sample
from tokensieve.training.trainer import RunOptions


@dataclass(frozen=True)
class FittedToBase:
    """What the three fits report; None for one that was left out.

    Attributes:
        importance_r2: as `fit_importance` returns it.
        feature_distillation: as `distil_features` returns it.
        head_refit: as `refit_head` returns it.
    """

    importance_r2: dict[str, float] | None = None
    feature_distillation: dict[str, Any] | None = None
    head_refit: dict[str, float] | None = None


def fit_to_base(job: TrainingJob, prepared: Prepared, options: RunOptions) -> FittedToBase:
    """Fit score, norms and biases, and head, in this order, where settings and recipe ask for it.

    Raises:
        DataError: no document to fit a learned score to.
        TrainingError: feature distillation diverged.
    """
    recipe, model, tokenizer = job.recipe, prepared.model, prepared.tokenizer
    sample = Sample(prepared.training, tokenizer, min(16, recipe.batch_size), recipe.seed)
    importance = distillation = refit = None
    if unfitted(model):
        importance = fit_importance(stages_of(model)[0], job.base, sample, job.device)
    if recipe.feature_epochs:
        distillation = distil_features(model, job.base, tokenizer, job.splits, recipe, options)
    if recipe.refits_head and prepared.starts_trained:
        refit = refit_head(model, job.base, sample, job.device)
    return FittedToBase(importance, distillation, refit)
