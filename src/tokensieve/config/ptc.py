"""The flat settings of version 0.1.0 as a `ReductionConfig`: PTCConfig, which goes on working with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from tokensieve.config.old import FIELDS, FORMAT_VERSION, assignments
from tokensieve.config.reduction import ReductionConfig
from tokensieve.settings_paths import apply


def from_flat(flat: Mapping[str, Any]) -> ReductionConfig:
    """The settings of flat fields; those that are left out have their defaults.

    Raises:
        ConfigError: unknown fields, values out of range, or ones that do not go together.
    """
    return ReductionConfig.from_dict({"format_version": FORMAT_VERSION, **flat})


def changed(settings: ReductionConfig, flat: Mapping[str, Any]) -> ReductionConfig:
    """Settings with flat fields in place of what they have.

    Raises:
        ConfigError: unknown fields, or values out of range.
    """
    learned = settings.prune is not None and settings.prune.score.name == "learned"
    return ReductionConfig.from_dict(apply(settings.to_dict(), assignments(flat, learned)))


class PTCConfig:
    """The name of `ReductionConfig` in version 0.1.0: called with the flat fields, it gives a `ReductionConfig`."""

    def __new__(cls, *values: Any, **flat: Any) -> Any:
        """The settings of the flat fields."""
        warnings.warn(
            "PTCConfig goes with the next version: use ReductionConfig, whose settings are nested "
            "(ReductionConfig.preset('fast'), ReductionConfig(keep=0.7))",
            DeprecationWarning,
            stacklevel=2,
        )
        return from_flat(dict(zip(FIELDS, values, strict=False)) | flat)

    @classmethod
    def preset(cls, name: str, num_layers: int) -> ReductionConfig:
        """`ReductionConfig.preset`, which needs no depth."""
        settings = ReductionConfig.preset(name)
        settings.check_depth(num_layers)
        return settings

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ReductionConfig:
        """`ReductionConfig.from_dict`."""
        return ReductionConfig.from_dict(record)
