"""Stage: a cascade is fitted to the validation documents: which documents it defers, and how many."""

from __future__ import annotations

from dataclasses import replace

from tokensieve.cascade.classifier import TokensieveCascadeForSequenceClassification
from tokensieve.training.fits.cascade import check_cascade, fit_to_validation
from tokensieve.training.job import TrainingJob
from tokensieve.training.stages.stage import Context, Stage


class FitCascade(Stage):
    """Fits a model of two stages; its answers to the validation documents take the place of the first one's."""

    reports = ("cascade",)

    def needs(self, job: TrainingJob) -> None:
        """A cascade is fitted to validation documents."""
        check_cascade(job.settings, job.recipe, len(job.splits.validation))

    def run(self, context: Context) -> None:
        """Fit, and answer the validation documents by the whole cascade."""
        model, trained = context.model, context.trained
        if not isinstance(model, TokensieveCascadeForSequenceClassification):
            return
        assert trained is not None
        report, logits = fit_to_validation(
            model,
            trained.logits,
            trained.truth,
            context.validation,
            context.tokenizer,
            context.recipe,
            context.job.splits.unlabelled,
            trained=context.best is not None and context.best["epoch"] > 0,
        )
        context.trained = replace(trained, logits=logits)
        self.record["cascade"] = report
