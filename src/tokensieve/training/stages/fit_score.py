"""Stage: a learned score is fitted to the gradients of the classifier that the run starts from."""

from __future__ import annotations

from dataclasses import replace

from tokensieve.cascade.build import stages_of
from tokensieve.errors import ConfigError
from tokensieve.model.layer import unfitted
from tokensieve.reduce.score.gradient import Gradient
from tokensieve.training.fits.agreement import agreement
from tokensieve.training.fits.importance import fit_importance, target_of
from tokensieve.training.fits.sample import Sample
from tokensieve.training.job import TrainingJob
from tokensieve.training.stages.stage import Context, Stage
from tokensieve.training.start import Start, check_start


class FitScore(Stage):
    """Fits the scores that settings have and the base has not."""

    reports = ("importance_r2", "importance_agreement")

    def needs(self, job: TrainingJob) -> None:
        """The exact gradient takes two passes a document, and a training has no place for them."""
        if job.settings.prune is not None and isinstance(job.settings.prune.score, Gradient):
            raise ConfigError(
                "prune.score=gradient is computed by two passes over each document and is for study: train with "
                "prune.score=learned and prune.score.target=gradient, which predicts it"
            )

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
            if target_of(first) != "margin":
                self.record["importance_agreement"] = agreement(first, job.base, _held_out(context), job.device)


def _held_out(context: Context) -> Sample:
    """Validation documents, or where there are none the documents that the scores were fitted to."""
    return replace(context.sample, documents=context.validation) if len(context.validation) else context.sample
