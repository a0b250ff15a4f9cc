"""Stage: a projection by content starts from the states of the classifier that the run starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokensieve.backbones.loading import load_config
from tokensieve.cascade.build import stages_of
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.reduce.combine.contract import Combine
from tokensieve.training.fits.projection import fit_projection
from tokensieve.training.job import TrainingJob
from tokensieve.training.stages.stage import Context, Stage
from tokensieve.training.start import Start, check_start


class FitProjection(Stage):
    """Fits the projections that settings have and the base has not."""

    reports = ("projection",)

    def needs_of_start(self, job: TrainingJob, start: Start) -> None:
        """Its states are those of a classifier."""
        combine = job.settings.combine
        if combine is not None and combine.fitted and _is_new(combine, job.base):
            wanted = f"combine={combine.name} starts from a trained classifier of the same labels"
            check_start(start.why_no_classifier, wanted)

    def run(self, context: Context) -> None:
        """Fit to a sample of the training documents."""
        job = context.job
        combine = job.settings.combine
        if combine is not None and combine.fitted and _is_new(combine, job.base):
            for stage in stages_of(context.model)[:1]:
                self.record["projection"] = fit_projection(stage, context.sample, job.device)


def _is_new(combine: Combine, base: str | Path) -> bool:
    """Whether the base has no projection of the same shape, whose weights the model has taken over."""
    config: Any = load_config(base)
    before = config.settings.combine if isinstance(config, TokensieveConfig) else None
    shape = [(type(one), getattr(one, "by", None), getattr(one, "buckets", None)) for one in (before, combine)]
    return before is None or shape[0] != shape[1] or before.tokens != combine.tokens
