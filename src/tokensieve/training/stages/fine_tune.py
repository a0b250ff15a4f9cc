"""Stage: the model is trained on labels, and on a teacher's answers where there is a teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tokensieve.backbones.loading import load_config
from tokensieve.cascade.build import EncoderClassifier, stages_of
from tokensieve.errors import ConfigError
from tokensieve.model.attention import SelfAttention
from tokensieve.training.job import TrainingJob
from tokensieve.training.loop.best_epoch import best_epoch
from tokensieve.training.loop.run import require_accelerate, run_trainer
from tokensieve.training.lora import adapted, lora_config, merged, require_peft
from tokensieve.training.recipe import Recipe
from tokensieve.training.stages.stage import Context, Stage
from tokensieve.training.start import Start, check_start


class FineTune(Stage):
    """Trains all weights, or adapters; without epochs it scores the classifier that the run starts from."""

    reports = ("history", "best")

    def needs(self, job: TrainingJob) -> None:
        """Trainer runs on accelerate, adapters on PEFT; the best epoch is chosen on validation documents."""
        require_accelerate()
        recipe = job.recipe
        if recipe.lora_rank is not None:
            require_peft()
        prune = job.settings.prune
        for name in ("length_drop", "pruning_warmup"):
            if prune is not None and getattr(recipe, name) and not prune.select.follows_share:
                raise ConfigError(
                    f"{name}={getattr(recipe, name):g} with prune.select={prune.select.name}: the shares that would "
                    f"change do not decide how many tokens stay; leave {name} at 0, or use prune.select=top-share"
                )
        if recipe.length_drop and prune is None:
            raise ConfigError(
                f"length_drop={recipe.length_drop:g} with settings that prune nothing: give a preset that prunes, such "
                "as length-adaptive, or leave length_drop out"
            )
        if not job.splits.validation and (recipe.select != "loss" or recipe.patience is not None):
            wanted = f"patience={recipe.patience}" if recipe.patience is not None else f"select={recipe.select!r}"
            raise ConfigError(f"{wanted} needs validation documents: give some, or a validation_fraction above 0")

    def needs_of_start(self, job: TrainingJob, start: Start) -> None:
        """Without epochs nothing is trained that starts at random; but learning gates trains all weights."""
        if job.recipe.epochs == job.recipe.gate_epochs == 0:
            wanted = "epochs=0 trains nothing and needs a whole trained classifier of the same labels"
            check_start(start.why_untrained, wanted)

    def run(self, context: Context) -> None:
        """Train; afterwards the model has the weights of the best epoch, on its device."""
        recipe, model = context.recipe, context.model
        trainable = fit_for_training(model, recipe)
        context.trained = run_trainer(
            trainable,
            context.tokenizer,
            context.training,
            context.validation,
            recipe,
            context.options,
            context.targets,
            begins_trained=context.start.is_trained or context.gates_learned,
        )
        if recipe.lora_rank is not None:
            merged(trainable)  # into the model that it was put around
        torch.nn.Module.to(model, device=context.job.device)  # a second stage was not trained
        if recipe.epochs == 0 and not context.gates_learned:
            keep_calibration(model, context.job.base)
        context.best = best_epoch(context.trained.history, recipe)
        self.record |= {"history": context.trained.history, "best": context.best}


def fit_for_training(model: EncoderClassifier, recipe: Recipe) -> Any:
    """The model that is trained, with the recipe's dropout, gradient checkpointing and adapters.

    Of a cascade it is the first stage.

    Raises:
        ConfigError: LoRA settings that do not fit.
        MissingExtraError: LoRA without PEFT.
    """
    if recipe.attention_dropout is not None:
        set_attention_dropout(model, recipe.attention_dropout)
    first = stages_of(model)[0]
    if recipe.gradient_checkpointing:
        # transformers gave it another name within its version 5
        enable = getattr(first, "activation_checkpointing_enable", None) or first.gradient_checkpointing_enable
        enable()
    if recipe.lora_rank is None:
        return first
    options = {"alpha": recipe.lora_alpha, "dropout": recipe.lora_dropout, "targets": recipe.lora_targets}
    return adapted(first, lora_config(first, recipe.lora_rank, **options))  # type: ignore[arg-type]


def keep_calibration(model: EncoderClassifier, base: str | Path) -> None:
    """Take over the calibration of the classifier, whose weights were not trained further."""
    before = load_config(base)
    model.config.calibration_temperature, model.config.thresholds = before.calibration_temperature, before.thresholds


def set_attention_dropout(model: EncoderClassifier, probability: float) -> None:
    """Change attention dropout in every layer and in the config."""
    model.config.attention_probs_dropout_prob = probability
    for module in model.modules():
        if isinstance(module, SelfAttention):
            module.dropout = probability
