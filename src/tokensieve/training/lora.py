"""LoRA through PEFT: low-rank updates of the attention; what starts at random is trained in full beside them."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from typing import Any

from torch import nn

from tokensieve.errors import ConfigError, MissingExtraError
from tokensieve.model.classifier import TokensieveForSequenceClassification


def require_peft() -> None:
    """Raise MissingExtraError where LoRA could not run."""
    if importlib.util.find_spec("peft") is None:
        raise MissingExtraError("LoRA", "peft", "peft")


def lora_config(
    model: TokensieveForSequenceClassification,
    rank: int = 8,
    *,
    alpha: float | None = None,
    dropout: float = 0.0,
    targets: Sequence[str] = ("query", "value"),
    **options: Any,
) -> Any:
    """A `peft.LoraConfig` for one of our models, to be given to `peft.get_peft_model`.

    A config that names "query" alone would also update the combining module by low rank, and leave the combination
    tokens as they were drawn. This one keeps to the layers of the checkpoint, and trains combination tokens, combining
    module and head in full.

    Args:
        model: to be adapted.
        rank: of the updates.
        alpha: their scale times the rank; None: twice the rank.
        dropout: before the updates.
        targets: linear maps of every layer: "query", "key", "value", or the end of another one's name, such as
            "attention.output.dense" or "intermediate.dense".
        options: further fields of LoraConfig.

    Raises:
        ConfigError: a rank below 1, values out of range, a target that no layer has, or a field that is not LoRA's.
        MissingExtraError: PEFT is not installed.
    """
    require_peft()
    from peft import LoraConfig

    if not isinstance(model, TokensieveForSequenceClassification):
        raise ConfigError(
            f"LoRA adapts one model, this is a {type(model).__name__}: give the stage to train, stages[0]"
        )
    if not (type(rank) is int and rank >= 1):
        raise ConfigError(f"LoRA rank={rank!r}: give a whole number of 1 or more")
    if not 0 <= dropout < 1:
        raise ConfigError(f"LoRA dropout={dropout!r}: give a number in [0, 1)")
    alpha = 2.0 * rank if alpha is None else alpha
    if not alpha > 0:
        raise ConfigError(f"LoRA alpha={alpha!r}: give a number above 0")
    try:
        return LoraConfig(
            r=rank,
            lora_alpha=alpha,  # type: ignore[arg-type]  # a scale; whole numbers are but a habit
            lora_dropout=dropout,
            target_modules=target_names(model, targets),
            modules_to_save=randomly_started(model),
            **options,
        )
    except TypeError as error:
        raise ConfigError(f"LoRA: {error}; see peft.LoraConfig for its fields") from error


def target_names(model: TokensieveForSequenceClassification, targets: Sequence[str]) -> list[str]:
    """Full names of the linear maps that the targets end the names of, in the checkpoint's layers alone.

    Raises:
        ConfigError: a target without any.
    """
    if isinstance(targets, str) or not targets:
        raise ConfigError(f"LoRA targets={targets!r}: give a list of names, such as ['query', 'value']")
    combiners = tuple(f"encoder.layer.{i}." for i, step in enumerate(model.encoder.steps) if step.kind == "combine")
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith("encoder.") and not name.startswith(combiners)
    ]
    names = []
    for target in targets:
        matching = [name for name in linear if f".{name}".endswith(f".{target}")]
        if not matching:
            available = sorted({re.sub(r"encoder\.layer\.\d+\.", "", name) for name in linear})
            raise ConfigError(f"LoRA target {target!r}: no layer has it; choose among {', '.join(available)}")
        names += matching
    return sorted(set(names))


def randomly_started(model: TokensieveForSequenceClassification) -> list[str]:
    """Modules that start at random: the head, and with combining the combination tokens and the module."""
    names = ["head"]
    if model.embeddings.combination_tokens is not None:
        names.append("embeddings.combination_tokens")
    return names + [f"encoder.layer.{i}" for i, step in enumerate(model.encoder.steps) if step.kind == "combine"]


def new_parameters(model: Any) -> list[nn.Parameter]:
    """What starts at random, with its adapters' copies where the model has some."""
    ours = model.get_base_model() if hasattr(model, "get_base_model") else model
    return [parameter for name in randomly_started(ours) for parameter in ours.get_submodule(name).parameters()]


def adapted(model: TokensieveForSequenceClassification, config: Any) -> Any:
    """The model with adapters, as a `peft.PeftModel`; whatever is not trained is frozen.

    Raises:
        ConfigError: PEFT does not take the settings.
    """
    from peft import get_peft_model

    try:
        return get_peft_model(model, config)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise ConfigError(f"LoRA: {error}; see peft.LoraConfig, or take tokensieve.lora_config(model)") from error


def merged(model: Any) -> TokensieveForSequenceClassification:
    """The adapters folded into the weights: a plain model, with nothing of PEFT left in it."""
    plain: TokensieveForSequenceClassification = model.merge_and_unload()
    for parameter in plain.parameters():
        parameter.requires_grad_(True)
    return plain
