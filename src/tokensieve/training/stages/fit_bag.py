"""Stage: a bag of words is fitted, ahead of all training: one that cannot be fitted is refused in the first minute."""

from __future__ import annotations

from tokensieve.errors import ConfigError
from tokensieve.training.fits.bag import fit_bag
from tokensieve.training.job import TrainingJob
from tokensieve.training.stages.stage import Context, Stage


class FitBag(Stage):
    """Fits the bag of words that `PutWordsFirst` puts ahead of the model."""

    counts_as_training = False

    def needs(self, job: TrainingJob) -> None:
        """Validation documents tell what a bag of words may answer."""
        if job.recipe.words_first is not None and not job.splits.validation:
            raise ConfigError(
                f"words_first={job.recipe.words_first:g} needs validation documents, which tell what a bag of words "
                "may answer: give some, or a validation_fraction above 0"
            )

    def run(self, context: Context) -> None:
        """Hand on the bag of words."""
        if context.is_main_process and context.recipe.words_first is not None:
            context.bag = fit_bag(context.job.splits, context.recipe)
