"""Checks of a setting's value, for every class of settings: the error names the field, the value and the remedy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, get_args

from tokensieve.errors import ConfigError


def check_number(settings: object, name: str, fits: Callable[[float], bool], remedy: str) -> None:
    """Raise ConfigError unless the field is a finite number that fits."""
    value = getattr(settings, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or not fits(value):
        raise ConfigError(f"{name}={value!r}: give {remedy}")


def check_integer(settings: object, name: str, least: int) -> None:
    """Raise ConfigError unless the field is a whole number of at least `least`."""
    value = getattr(settings, name)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name}={value!r}: give a whole number of {least} or more")


def check_choice(settings: object, name: str, choices: Any) -> None:
    """Raise ConfigError unless the field is one of a Literal's values."""
    value = getattr(settings, name)
    if not isinstance(value, str) or value not in get_args(choices):
        raise ConfigError(f"{name}={value!r}: choose one of {', '.join(map(repr, get_args(choices)))}")


def check_boolean(settings: object, name: str) -> None:
    """Raise ConfigError unless the field is True or False."""
    if not isinstance(getattr(settings, name), bool):
        raise ConfigError(f"{name}={getattr(settings, name)!r}: give True or False")
