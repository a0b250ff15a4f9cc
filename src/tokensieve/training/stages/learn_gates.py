"""Stage: the gates of a selection are learned together with the weights, softly, and are hard from then on.

Its epochs are not validated, and none of them is chosen as the best one: early ones, in which hardly a token leaves,
would look best. After the last one the gates stay as they are, and the next stage trains the weights for tokens that
really leave. That one chooses its best epoch, this stage's end among them, with the same gates in all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tokensieve.cascade.build import stages_of
from tokensieve.errors import ConfigError
from tokensieve.model.gates import adopt, learned_settings, report, set_soft
from tokensieve.training.job import TrainingJob
from tokensieve.training.loop.run import run_without_validation
from tokensieve.training.losses.batch import WithTargets
from tokensieve.training.losses.distillation import DistillationLoss
from tokensieve.training.losses.labels import label_loss
from tokensieve.training.losses.penalty import PenalisedLoss
from tokensieve.training.recipe import Recipe
from tokensieve.training.stages.fine_tune import fit_for_training
from tokensieve.training.stages.stage import Context, Stage


class LearnGates(Stage):
    """Trains weights and gates for the recipe's `gate_epochs`."""

    reports = ("gates",)

    def needs(self, job: TrainingJob) -> None:
        """A selection that learns, all weights, and one stage."""
        recipe, prune = job.recipe, job.settings.prune
        if not recipe.gate_epochs:
            return
        wanted = f"gate_epochs={recipe.gate_epochs}"
        if prune is None or not prune.select.gated:
            given = "prune=none" if prune is None else f"prune.select={prune.select.name}"
            raise ConfigError(f"{wanted} with {given}: it learns nothing; leave gate_epochs at 0")
        if recipe.lora_rank is not None:
            raise ConfigError(
                f"{wanted} with lora_rank={recipe.lora_rank}: gates are learned with all weights; leave one"
            )
        if job.settings.defer is not None:
            raise ConfigError(f"{wanted} with defer: gates are learned in one model alone; use defer=none")

    def run(self, context: Context) -> None:
        """Train; afterwards the gates are hard, and what they tell of a schedule is in the model's settings."""
        recipe, model = context.recipe, stages_of(context.model)[0]
        if recipe.gate_epochs:
            set_soft(model, True)
            history = self._train(context, model)
            losses = [entry["loss"] for entry in history if "loss" in entry]
            layers = report(model)
            settings = learned_settings(model, model.settings)
            self.record["gates"] = {"epochs": recipe.gate_epochs, "loss": losses[-1], "layers": layers}
            if settings != model.settings:
                adopt(model, settings)
                self.record["gates"]["settings"] = settings.to_dict()
            context.gates_learned = True
        set_soft(model, False)

    def _train(self, context: Context, model: Any) -> list[dict[str, Any]]:
        recipe, targets = context.recipe, context.targets
        loss: Any = label_loss(context.training, recipe, model.num_labels or 0)
        loss = loss if targets is None else DistillationLoss(loss, recipe)
        documents = context.training if targets is None else WithTargets(context.training, targets)
        trained = fit_for_training(model, recipe)
        own = _recipe_of_gates(recipe)
        return run_without_validation(trained, context.tokenizer, documents, own, context.options, PenalisedLoss(loss))


def _recipe_of_gates(recipe: Recipe) -> Recipe:
    return replace(recipe, epochs=recipe.gate_epochs, select="loss", patience=None, pruning_warmup=0.0)
