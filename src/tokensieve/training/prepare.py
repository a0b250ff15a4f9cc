"""The model before training: built from the checkpoint, with what the recipe changes in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokensieve.backbones.loading import load_config, load_tokenizer
from tokensieve.backbones.source import source_config
from tokensieve.cascade.build import EncoderClassifier, compress, stages_of
from tokensieve.config import ReductionConfig
from tokensieve.model.attention import SelfAttention
from tokensieve.training.lora import adapted, lora_config
from tokensieve.training.recipe import Recipe


def start_model(
    base: str | Path, settings: ReductionConfig, recipe: Recipe, labels: Sequence[str], multi_label: bool
) -> tuple[EncoderClassifier, Any]:
    """The model or cascade and its tokenizer; a length that does not fit is refused before weights are read.

    Raises:
        CheckpointError: `base` cannot be used.
        ConfigError: settings or a length that do not fit it.
    """
    config = source_config(load_config(base), base)
    length = config.truncation_length(recipe.max_length)
    tokenizer = load_tokenizer(base, config)
    kind = "multi_label_classification" if multi_label else "single_label_classification"
    model = compress(base, settings, tokenizer=tokenizer, id2label=dict(enumerate(labels)), problem_type=kind)
    model.config.tokenize_length = length
    return model, tokenizer


def fit_for_training(model: EncoderClassifier, recipe: Recipe) -> Any:
    """The model that is trained, of a cascade its first stage: with the recipe's dropout, gradient checkpointing and
    adapters.

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
