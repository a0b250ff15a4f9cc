"""Stage: mean vectors of the documents, taken before training changes the word vectors."""

from __future__ import annotations

from tokensieve.training.floors.static import static_vectors
from tokensieve.training.stages.stage import Context, Stage


class ReadStaticVectors(Stage):
    """Reads what `CompareFloors` fits a floor to."""

    counts_as_training = False

    def run(self, context: Context) -> None:
        """Hand on the vectors; None where no such floor is asked for."""
        if context.is_main_process:
            context.static = static_vectors(context.job, context.model, context.tokenizer, context.training)
