"""Stage: a learned score is fitted to the gradients of the classifier that the run starts from."""

from __future__ import annotations

from tokensieve.cascade.build import stages_of
from tokensieve.model.layer import unfitted
from tokensieve.training.fits.importance import fit_importance
from tokensieve.training.job import TrainingJob
from tokensieve.training.stages.stage import Context, Stage
from tokensieve.training.start import Start, check_start


class FitScore(Stage):
    """Fits the scores that settings have and the base has not."""

    reports = ("importance_r2",)

    def needs_of_start(self, job: TrainingJob, start: Start) -> None:
        """A score is fitted to a classifier."""
        if unfitted(start.model):
            wanted = "prune.score=learned is fitted to a trained classifier of the same labels"
            check_start(start.why_no_classifier, wanted)

    def run(self, context: Context) -> None:
        """Fit in closed form, to a sample of the training documents."""
        if unfitted(context.model):
            first, job = stages_of(context.model)[0], context.job
            self.record["importance_r2"] = fit_importance(first, job.base, context.sample, job.device)
