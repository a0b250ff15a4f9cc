"""What a run starts from: the checkpoint that is meant, and the reduction settings as they were given in part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokensieve.backbones.default_model import default_model_dir
from tokensieve.config import PTCConfig
from tokensieve.model.configuration import TokensieveConfig


def base_checkpoint(model: str | None) -> str:
    """The checkpoint named, else the embedded default model.

    Raises:
        MissingExtraError: none is named and the default model is not installed.
    """
    return str(default_model_dir()) if model is None else model


def reduction_settings(config: TokensieveConfig, preset: str | None, given: Mapping[str, Any]) -> PTCConfig:
    """The preset, or the checkpoint's own settings, with what is given (is not None) in their place.

    Raises:
        ConfigError: an unknown preset, values out of range, or settings that do not fit the checkpoint's depth.
    """
    layers = config.num_hidden_layers
    start = config.settings if preset is None else PTCConfig.preset(preset, layers)
    settings = start.changed(**{name: value for name, value in given.items() if value is not None})
    settings.check_depth(layers)
    return settings
