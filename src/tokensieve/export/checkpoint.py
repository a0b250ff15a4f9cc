"""A dense classifier of ours -> the family's own `*ForSequenceClassification` of transformers, with its weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tokensieve.backbones.family import Family
from tokensieve.backbones.registry import BACKBONES
from tokensieve.backbones.source import source_config
from tokensieve.errors import CheckpointError, ConfigError
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.config_fields import FIELDS
from tokensieve.model.configuration import TokensieveConfig

_NOT_OF_THE_FAMILY = {"special_token_ids", "tokenize_length", "text_pairs", "attention_backend"}
_TWINS = {"XLMRoberta": "xlm-roberta", "Camembert": "camembert"}
"""Start of a tokenizer's class -> the model_type of the checkpoint; all of these are RoBERTa here."""


def to_transformers(model: TokensieveForSequenceClassification, tokenizer: Any = None) -> PreTrainedModel:
    """Build a model of transformers that gives the same logits; in eval mode, with copies of the weights.

    Args:
        model: prunes and combines nothing, with pooling "pretrained".
        tokenizer: tells RoBERTa from XLM-RoBERTa and CamemBERT, which are one family here; None: RoBERTa.

    Raises:
        ConfigError: the settings reduce something, or pool as no class of transformers does.
        CheckpointError: config.json describes a model that the family does not have.
    """
    _check_settings(model)
    config = family_config(model.config, tokenizer)
    family = BACKBONES[config.model_type]
    _check_same_sizes(model.config, config)
    theirs: PreTrainedModel = AutoModelForSequenceClassification.from_config(config, dtype=model.dtype).eval()
    _copy_weights(model, theirs, family)
    return theirs


def family_config(config: TokensieveConfig, tokenizer: Any = None) -> Any:
    """The config that the family's own models have: sizes, labels and kind of problem.

    Args:
        config: ours.
        tokenizer: as in `to_transformers`.

    Raises:
        CheckpointError: a family that is not known here.
    """
    kind = config.family
    if kind not in BACKBONES:
        raise CheckpointError(f"family={kind!r} is not known here, and cannot be exported: use a later version")
    for start, twin in _TWINS.items() if kind == "roberta" else ():
        if type(tokenizer).__name__.startswith(start):
            kind = twin
    sizes = BACKBONES[kind].theirs(config)
    names: Any = dict(enumerate(config.label_names))
    labels = {"id2label": names, "label2id": {name: number for number, name in names.items()}}
    built = CONFIG_MAPPING[kind](**sizes, **labels, problem_type=config.problem_type)
    for name in ("bos_token_id", "eos_token_id"):
        if tokenizer is not None and hasattr(built, name):
            setattr(built, name, getattr(tokenizer, name, None))
    return built


def _check_settings(model: TokensieveForSequenceClassification) -> None:
    settings, family = model.settings, model.config.family
    dense = "transformers has classes for dense models alone: export to ONNX (--format onnx), or train --preset dense"
    if settings.combine is not None:
        raise ConfigError(f"combine={settings.combine.name} cannot be exported to transformers: {dense}")
    if settings.prune is not None and any(step.prune is not None for step in model.encoder.steps):
        raise ConfigError(
            f"prune.schedule={settings.prune.schedule.name} prunes, and cannot be exported to transformers: {dense}"
        )
    if settings.resolved_pooling != "pretrained":
        raise ConfigError(
            f"pooling={settings.resolved_pooling} cannot be exported to transformers: its class for {family} reads the "
            "first token and has no mean; train with --set pooling=pretrained, or export to ONNX (--format onnx)"
        )


def _check_same_sizes(config: TokensieveConfig, theirs: Any) -> None:
    """Raise CheckpointError if the family's config cannot say what ours says."""
    again = source_config(theirs, "the exported config")
    for field in FIELDS.keys() - _NOT_OF_THE_FAMILY:
        ours, read = getattr(config, field), getattr(again, field)
        if ours != read:
            raise CheckpointError(
                f"config.json has {field}={ours!r}, and a {theirs.model_type} of transformers has {read!r} always: it "
                "cannot be exported to transformers; export to ONNX (--format onnx)"
            )


@torch.no_grad()
def _copy_weights(model: TokensieveForSequenceClassification, theirs: PreTrainedModel, family: Family) -> None:
    """Copy each of our tensors to its place; the table of names that reads checkpoints tells it."""
    source, target = model.state_dict(), theirs.state_dict()
    if unknown := source.keys() ^ family.rename(target).keys():
        raise CheckpointError(f"{min(unknown)} has no counterpart in {type(theirs).__name__}: it cannot be exported")
    for name, tensor in target.items():
        ours = family.original(name, source)
        if ours is not None:
            tensor.copy_(ours)
