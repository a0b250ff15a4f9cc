"""The source checkpoint, from which a model is made: its parameters under our names, layers numbered as it has them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel, AutoModelForImageClassification, AutoModelForSequenceClassification, PreTrainedModel

from tokensieve.backbones.loading import load_config, load_weights
from tokensieve.backbones.record import in_their_names
from tokensieve.backbones.registry import ALL_BACKBONES, IMAGE_BACKBONES
from tokensieve.errors import CheckpointError, ConfigError
from tokensieve.model.body import Body
from tokensieve.model.configuration import TokensieveConfig

COMBINE = "combine"
"""Stands for the number of the combining module's step in parameter names, if the source is a model of ours."""
_OF_STEPS = "encoder.layer."
_CLASSIFIERS = ("ForSequenceClassification", "ForImageClassification")


@dataclass(frozen=True)
class SourceCheckpoint:
    """A checkpoint under our names.

    Attributes:
        config: its sizes and labels as a TokensieveConfig (reduction settings not yet decided).
        state: parameters; `encoder.layer.<i>` with i as in the source.
        pooling: pooling of a model of ours; "pretrained" for those of transformers.
    """

    config: TokensieveConfig
    state: dict[str, Tensor]
    pooling: str


def read_source(model: PreTrainedModel) -> SourceCheckpoint:
    """Read a model of transformers, or one of ours, as a source; its tensors are shared, not copied.

    Raises:
        CheckpointError: a family that is not in the table, or a decoder.
    """
    if isinstance(model, Body):
        return _read_own(model)
    config = source_config(model.config, f"a {type(model).__name__}")
    _refuse_two_heads(type(model).__name__)
    classifies = type(model).__name__.endswith(_CLASSIFIERS)
    if classifies:
        config.id2label = copy.copy(model.config.id2label)
        config.problem_type = model.config.problem_type
    state = ALL_BACKBONES[model.config.model_type].rename(model.state_dict())
    if not classifies:  # another task's output layer is no start for ours
        state = {name: tensor for name, tensor in state.items() if not name.startswith("head.classifier")}
    return SourceCheckpoint(config, state, "pretrained")


def _refuse_two_heads(architecture: str) -> None:
    """Raise CheckpointError for DeiT's classifier with a head for each of its two special tokens."""
    if architecture.endswith("ForImageClassificationWithTeacher"):
        raise CheckpointError(
            f"{architecture}: it has a head on [CLS] and one on the distillation token, and one head is computed: load "
            "it as DeiTForImageClassification, or give its body (model.deit) and train a head"
        )


def source_config(config: Any, name: str | Path) -> TokensieveConfig:
    """Turn a config of transformers, or one of ours, into a config of ours; labels are left out.

    Args:
        config: of the checkpoint.
        name: what messages call it.

    Raises:
        CheckpointError: a family that is not in the table, a decoder, or a field that is refused.
    """
    if isinstance(config, TokensieveConfig):
        return copy.deepcopy(config)
    kind = config.model_type
    if kind not in ALL_BACKBONES:
        raise CheckpointError(f"{name}: model_type {kind!r} is not supported: give one of {', '.join(ALL_BACKBONES)}")
    if getattr(config, "is_decoder", False):
        raise CheckpointError(f"{name}: this {kind} is configured as a decoder (is_decoder=True): give an encoder")
    try:
        return TokensieveConfig(**ALL_BACKBONES[kind].sizes(config))
    except ConfigError as error:
        raise CheckpointError(f"{name}: {in_their_names(str(error), ALL_BACKBONES[kind])}") from error


def _read_own(model: Body) -> SourceCheckpoint:
    steps = model.encoder.steps
    sources = {str(number): COMBINE if step.source is None else str(step.source) for number, step in enumerate(steps)}
    state = {renumbered(name, sources): tensor for name, tensor in model.state_dict().items()}
    return SourceCheckpoint(copy.deepcopy(model.config), state, model.settings.resolved_pooling)


def renumbered(name: str, numbers: Mapping[str, str]) -> str:
    """The name of a parameter with another number for its step; "" where it is to have none.

    A parameter that is in no step keeps its name.
    """
    if not name.startswith(_OF_STEPS):
        return name
    number, _, rest = name.removeprefix(_OF_STEPS).partition(".")
    return f"{_OF_STEPS}{numbers[number]}.{rest}" if number in numbers else ""


def load_source_model(path: str | Path) -> PreTrainedModel:
    """Load a model folder or hub name in float32, from safetensors only.

    Raises:
        CheckpointError: nothing there, unreadable, or an unsupported family.
    """
    config = load_config(path)
    source_config(config, path)  # refuses an unfit checkpoint before its weights are read
    if getattr(config, "int8", None) is not None:
        raise CheckpointError(
            f"{path}: its weights are int8, which are not trained or compressed further: give the float32 classifier "
            "that it was made of"
        )
    for name in config.architectures or []:
        _refuse_two_heads(name)
    classifies = any(name.endswith(_CLASSIFIERS) for name in config.architectures or [])
    ours = isinstance(config, TokensieveConfig)
    images = config.grid is not None if ours else config.model_type in IMAGE_BACKBONES
    loader: Any = AutoModelForImageClassification if images else AutoModelForSequenceClassification
    if not classifies and (not ours or "TokensieveModel" in (config.architectures or [])):
        loader = AutoModel  # a model of ours is a classifier, whatever an adapter called itself
    return load_weights(loader, path, strict=ours, dtype=torch.float32)
