"""What a run starts from: the checkpoint that is meant, and the reduction settings as they were given in part."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tokensieve.backbones.default_model import default_model_dir
from tokensieve.config import ReductionConfig
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.settings_paths import Assignment, apply

REDUCTION_NAMES = (*ReductionConfig.nested, "pooling", "protect_special", "min_length")
"""The outermost names of the reduction settings."""


def base_checkpoint(model: str | None) -> str:
    """The checkpoint named, else the embedded default model.

    Raises:
        MissingExtraError: none is named and the default model is not installed.
    """
    return str(default_model_dir()) if model is None else model


def reduction_settings(
    config: TokensieveConfig, preset: str | None, assignments: Iterable[Assignment]
) -> ReductionConfig:
    """The preset, or the checkpoint's settings, with changes.

    Args:
        config: of the checkpoint.
        preset: a name to start from; None: the checkpoint's settings.
        assignments: of dotted paths of the settings, made in order.

    Raises:
        ConfigError: an unknown preset or name, values out of range, or settings that do not fit the checkpoint's depth.
    """
    start = config.settings if preset is None else ReductionConfig.preset(preset)
    settings = ReductionConfig.from_dict(apply(start.to_dict(), assignments))
    settings.check_depth(config.num_hidden_layers)
    return settings


def keep_share(share: Any) -> list[Assignment]:
    """The assignments by which every layer keeps the same share of its tokens."""
    schedule = ("prune", "schedule")
    return [Assignment(schedule, "constant"), Assignment((*schedule, "keep"), share)]
