"""Stage: a selection's threshold is fitted to the share of tokens that the schedule wants."""

from __future__ import annotations

from tokensieve.errors import ConfigError
from tokensieve.reduce.select.threshold import Threshold
from tokensieve.training.fits.threshold import check_threshold, fit_threshold, fitted_threshold
from tokensieve.training.job import TrainingJob
from tokensieve.training.stages.stage import Context, Stage
from tokensieve.training.start import Start


class FitThreshold(Stage):
    """Fits the threshold that settings ask for, once the scores are fitted."""

    reports = ("threshold",)

    def needs(self, job: TrainingJob) -> None:
        """A threshold has no share that could fall during a pruning warm-up."""
        prune = job.settings.prune
        if prune is not None and isinstance(prune.select, Threshold) and job.recipe.pruning_warmup:
            raise ConfigError(
                f"pruning_warmup={job.recipe.pruning_warmup:g} with prune.select=threshold: the shares that would fall "
                "do not decide how many tokens stay; leave pruning_warmup at 0, or use prune.select=top-share"
            )

    def needs_of_start(self, job: TrainingJob, start: Start) -> None:
        """One threshold is fitted to one share."""
        check_threshold(job.settings, start.model.config.num_hidden_layers)

    def run(self, context: Context) -> None:
        """Fit to a sample of the training documents."""
        if fitted_threshold(context.job.settings) is not None:
            self.record["threshold"] = fit_threshold(context.model, context.sample, context.job.device)
