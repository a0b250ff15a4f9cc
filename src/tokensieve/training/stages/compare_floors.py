"""Stage: floors are fitted to the same documents and compared with the trained model."""

from __future__ import annotations

from tokensieve.training.floors.fit import fit_floors
from tokensieve.training.stages.stage import Context, Stage


class CompareFloors(Stage):
    """Tells what the encoder is worth beside a bag of words and static vectors; the model stays as it is."""

    counts_as_training = False
    reports = ("floors",)

    def run(self, context: Context) -> None:
        """Fit the floors that the recipe asks for, on the process that writes."""
        if context.is_main_process and context.trained is not None:
            logits, static, bag = context.trained.logits, context.static, context.bag
            self.record["floors"] = fit_floors(context.job, context.model, context.tokenizer, logits, static, bag)
