"""What a run starts from: the checkpoint that is meant, and the reduction settings as they were given in part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from tokensieve.backbones.default_model import default_model_dir
from tokensieve.config import ReductionConfig
from tokensieve.config.assigned import with_assignments
from tokensieve.config.ptc import changed
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.settings_paths import Assignment

REDUCTION_NAMES = tuple(field.name for field in fields(ReductionConfig))
"""The outermost names of the reduction settings."""


def base_checkpoint(model: str | None) -> str:
    """The checkpoint named, else the embedded default model.

    Raises:
        MissingExtraError: none is named and the default model is not installed.
    """
    return str(default_model_dir()) if model is None else model


def reduction_settings(
    config: TokensieveConfig,
    preset: str | None,
    assignments: Iterable[Assignment],
    *,
    of_file: Iterable[Assignment] = (),
    flat: Mapping[str, Any] | None = None,
) -> ReductionConfig:
    """The preset, or the checkpoint's settings, with changes.

    Args:
        config: of the checkpoint.
        preset: a name to start from; None: the checkpoint's settings.
        assignments: of dotted paths of the settings, made in order.
        of_file: such that are made ahead of them, and
        flat: fields of version 0.1.0 that are put in place then.

    Raises:
        ConfigError: an unknown preset or name, values out of range, or settings that do not fit the checkpoint's depth.
    """
    start = config.settings if preset is None else ReductionConfig.preset(preset)
    if flat:
        start = changed(with_assignments(start, of_file), flat, config.num_hidden_layers)
        of_file = ()
    settings = with_assignments(start, [*of_file, *assignments])
    settings.check_depth(config.num_hidden_layers)
    return settings


def keep_share(share: Any) -> list[Assignment]:
    """The assignments by which every layer keeps the same share of its tokens."""
    schedule = ("prune", "schedule")
    return [Assignment(schedule, "constant"), Assignment((*schedule, "keep"), share)]
