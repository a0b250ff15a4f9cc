"""Stage: a teacher answers the training documents, once, for the loss of the epochs that follow."""

from __future__ import annotations

import time

from tokensieve.training.files.record import finished_record
from tokensieve.training.job import TrainingJob
from tokensieve.training.stages.stage import Context, Stage
from tokensieve.training.teacher import teacher_config, teacher_targets


class AskTeacher(Stage):
    """Asks the recipe's teacher, if there is one and there are epochs that learn from it."""

    reports = ("teacher_seconds",)

    def needs(self, job: TrainingJob) -> None:
        """A teacher is a classifier of the same labels."""
        learns = job.recipe.epochs or job.recipe.gate_epochs
        if job.recipe.teacher is not None and learns and finished_record(job) is None:
            teacher_config(job.recipe.teacher, job.splits.label_names)

    def run(self, context: Context) -> None:
        """Hand on the teacher's answers."""
        recipe, job = context.recipe, context.job
        if recipe.teacher is None:
            return
        start = time.perf_counter()
        if recipe.epochs or recipe.gate_epochs:
            context.targets = teacher_targets(recipe, job.splits.train, job.splits.label_names, job.device)
        self.record["teacher_seconds"] = time.perf_counter() - start
