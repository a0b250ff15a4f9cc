"""Stage: temperature and thresholds are fitted to the answers to the validation documents."""

from __future__ import annotations

from tokensieve.training.fits.calibration import calibrate_model
from tokensieve.training.stages.stage import Context, Stage


class Calibrate(Stage):
    """Calibrates the trained model, where there are validation documents."""

    counts_as_training = False
    reports = ("calibration",)

    def run(self, context: Context) -> None:
        """Write temperature and thresholds to the model's config."""
        trained, weights = context.trained, context.validation.weights
        if context.recipe.calibrate and trained is not None:
            report = calibrate_model(context.model.config, trained.logits, trained.truth, weights)
            self.record["calibration"] = report
