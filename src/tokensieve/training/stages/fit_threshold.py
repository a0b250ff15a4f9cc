"""Stage: a selection's threshold is fitted to the share of tokens that the schedule wants."""

from __future__ import annotations

from tokensieve.training.fits.threshold import check_threshold, fit_threshold, fitted_threshold
from tokensieve.training.job import TrainingJob
from tokensieve.training.stages.stage import Context, Stage
from tokensieve.training.start import Start


class FitThreshold(Stage):
    """Fits the threshold that settings ask for, once the scores are fitted."""

    reports = ("threshold",)

    def needs_of_start(self, job: TrainingJob, start: Start) -> None:
        """One threshold is fitted to one share."""
        check_threshold(job.settings, start.model.config.num_hidden_layers)

    def run(self, context: Context) -> None:
        """Fit to a sample of the training documents."""
        if fitted_threshold(context.job.settings) is not None:
            self.record["threshold"] = fit_threshold(context.model, context.sample, context.job.device)
