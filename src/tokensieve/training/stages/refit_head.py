"""Stage: the head's last layer is refitted to the document vectors of other settings."""

from __future__ import annotations

from tokensieve.training.fits.head_refit import refit_head
from tokensieve.training.stages.stage import Context, Stage


class RefitHead(Stage):
    """Refits where a trained classifier gets other settings, and the recipe does not train the shift away."""

    reports = ("head_refit",)

    def run(self, context: Context) -> None:
        """Fit in closed form, to a sample of the training documents."""
        job = context.job
        if context.recipe.refits_head and context.start.is_trained:
            self.record["head_refit"] = refit_head(context.model, job.base, context.sample, job.device)
