"""Stage: a bag of words becomes the first stage of the classifier, and answers what it is sure of."""

from __future__ import annotations

from tokensieve.training.fits.words_first import fit_words_stage
from tokensieve.training.stages.stage import Context, Stage


class PutWordsFirst(Stage):
    """Fits when the bag of words defers to the trained and calibrated model, and how both answers are weighed."""

    counts_as_training = False
    reports = ("words_first",)

    def run(self, context: Context) -> None:
        """Hand on the first stage, which is saved beside the model."""
        if context.bag is not None and context.trained is not None:
            logits = context.trained.logits
            context.words_first, report = fit_words_stage(context.job, context.model.config, context.bag, logits)
            self.record["words_first"] = report
