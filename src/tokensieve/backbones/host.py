"""The host: a checkpoint to start from, read and put under our names with its layers numbered as it has them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from tokensieve.backbones.registry import BACKBONES
from tokensieve.errors import CheckpointError, TokensieveError
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.reducers.schedule import encoder_steps

COMBINE = "encoder.combine."
"""Where a host that is one of ours keeps its combining module's parameters, free of the step's number."""


@dataclass(frozen=True)
class Host:
    """A checkpoint under our names.

    Attributes:
        config: its sizes and labels as a TokensieveConfig (reduction settings not yet decided).
        state: parameters; `encoder.layer.<i>` with i as in the host.
        classifies: it has a sequence classification head of its own.
        settings_pooling: pooling of a host that is one of ours, "host" for transformers' models.
    """

    config: TokensieveConfig
    state: dict[str, Tensor]
    classifies: bool
    pooling: str


def read_host(model: PreTrainedModel) -> Host:
    """A transformers model (or one of ours) as a host; its tensors are shared, not copied.

    Raises:
        CheckpointError: a family that is not in the table, or a decoder.
    """
    if isinstance(model, TokensieveForSequenceClassification):
        return _read_own(model)
    config = host_config(model.config, f"a {type(model).__name__}")
    classifies = type(model).__name__.endswith("ForSequenceClassification")
    if classifies:
        config.id2label = copy.copy(model.config.id2label)
        config.problem_type = model.config.problem_type
    state = BACKBONES[model.config.model_type].rename(model.state_dict())
    if not classifies:  # another task's output layer is no start for ours
        state = {name: tensor for name, tensor in state.items() if not name.startswith("head.classifier")}
    return Host(config, state, classifies, "host")


def host_config(config: Any, name: str | Path) -> TokensieveConfig:
    """A transformers config, or one of ours, as a config of ours; labels are left out.

    Args:
        config: of the checkpoint.
        name: what messages call it.

    Raises:
        CheckpointError: a family that is not in the table, or a decoder.
    """
    if isinstance(config, TokensieveConfig):
        return copy.deepcopy(config)
    kind = config.model_type
    if kind not in BACKBONES:
        raise CheckpointError(f"{name}: model_type {kind!r} is not supported: give one of {', '.join(BACKBONES)}")
    if getattr(config, "is_decoder", False):
        raise CheckpointError(f"{name}: this {kind} is configured as a decoder (is_decoder=True): give an encoder")
    return TokensieveConfig(family=BACKBONES[kind].name, **BACKBONES[kind].sizes(config))


def _read_own(model: TokensieveForSequenceClassification) -> Host:
    steps = encoder_steps(model.settings, model.config.num_hidden_layers)
    state = {}
    for name, tensor in model.state_dict().items():
        if name.startswith("encoder.layer."):
            number, _, rest = name.removeprefix("encoder.layer.").partition(".")
            source = steps[int(number)].source
            name = f"{COMBINE}{rest}" if source is None else f"encoder.layer.{source}.{rest}"
        state[name] = tensor
    return Host(copy.deepcopy(model.config), state, True, model.settings.resolved_pooling)


def load_host_model(path: str | Path) -> PreTrainedModel:
    """Load a model folder or hub name in float32, from safetensors only.

    Raises:
        CheckpointError: nothing there, unreadable, or an unsupported family.
    """
    config = load_config(path)
    host_config(config, path)  # refuses what cannot be a host before its weights are read
    classifies = any(name.endswith("ForSequenceClassification") for name in config.architectures or [])
    loader: Any = AutoModelForSequenceClassification if classifies else AutoModel
    if config.model_type == TokensieveConfig.model_type:
        loader = TokensieveForSequenceClassification
    return load_weights(loader, path, dtype=torch.float32)


def load_config(path: str | Path) -> Any:
    """The transformers config of a folder or hub name.

    Raises:
        CheckpointError: no folder, no readable config.json, or an unknown model_type.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{path} is a file: give the folder that holds config.json and model.safetensors")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise CheckpointError(f"{path}: no config.json in this folder: give a folder written by save_pretrained")
    try:
        return AutoConfig.from_pretrained(path)
    except TokensieveError:
        raise
    except Exception as error:
        local = folder.is_dir()
        remedy = "config.json is broken or of an unknown kind" if local else "no such folder, nor a model of that name"
        raise CheckpointError(f"{path}: {remedy} ({first_line(error)})") from error


def load_weights(loader: Any, path: str | Path, **options: Any) -> PreTrainedModel:
    """`loader.from_pretrained` with safetensors only, every failure put as one CheckpointError.

    Raises:
        CheckpointError: weights missing, broken, pickled, or of other shapes.
    """
    try:
        model, report = loader.from_pretrained(path, use_safetensors=True, output_loading_info=True, **options)
    except TokensieveError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"{path}: the weights cannot be read as safetensors ({first_line(error)}); "
            "give a folder with an intact model.safetensors (pickled .bin weights are not loaded)"
        ) from error
    # A body saved without its pooler is common and harmless; anything else missing would be random numbers.
    lacking = sorted(name for name in report["missing_keys"] if "pooler" not in name)
    if lacking:
        raise CheckpointError(
            f"{path}: model.safetensors has no {lacking[0]} ({len(lacking)} missing): save the model again"
        )
    loaded: PreTrainedModel = model
    return loaded


def load_tokenizer(path: str | Path) -> Any:
    """The tokenizer of a folder or hub name.

    Raises:
        CheckpointError: none there, or unreadable.
    """
    try:
        return AutoTokenizer.from_pretrained(path)
    except Exception as error:
        reason = first_line(error)
        raise CheckpointError(f"{path}: no readable tokenizer ({reason}); save it beside the model") from error


def has_tokenizer(path: str | Path) -> bool:
    """Whether a folder holds tokenizer files."""
    names = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model")
    return any((Path(path) / name).is_file() for name in names)


def first_line(error: BaseException) -> str:
    """An error's first line, shortened, for a message of ours."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
