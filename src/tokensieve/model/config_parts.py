"""What a config's record has beside sizes: parts with records of their own, fields of 0.1.0, settings out of place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from tokensieve.checks import shown
from tokensieve.config import ReductionConfig
from tokensieve.config.old import FIELDS as FLAT_FIELDS
from tokensieve.errors import ConfigError
from tokensieve.model.block import Blocks
from tokensieve.model.grid import PatchGrid

_FIELDS_OF_0_1_0 = ("reread_below", "second_norms")
"""Fields of every config of 0.1.0. A cascade's have a meaning (`tokensieve.cascade.old`); others are dropped."""


def pop_old(values: dict[str, Any]) -> Any:
    """Take the fields of version 0.1.0 out of a config's; return the reduction settings among them, or None."""
    for name in _FIELDS_OF_0_1_0:
        values.pop(name, None)
    return values.pop("ptc", None)


_Part = TypeVar("_Part", Blocks, PatchGrid)


def read_part(kind: type[_Part], given: Any, name: str, owner: str) -> _Part:
    """A part of the config that has a record of its own.

    Args:
        kind: of the part.
        given: it, or its record.
        name: of the field.
        owner: whose part it is, for the error.

    Raises:
        ConfigError: it is no record, has unknown fields, or refused values.
    """
    if isinstance(given, kind):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError(f"{name}={shown(given)}: give the record of the {owner}'s {name}")
    try:
        return kind.from_dict(given)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def refuse_misplaced(values: Mapping[str, Any]) -> None:
    """Raise ConfigError for reduction settings beside `reduction`.

    The base class would take them without a word, and they would do nothing.
    """
    names = FLAT_FIELDS.keys() | {field.name for field in fields(ReductionConfig)} | {"keep"}
    if misplaced := sorted(values.keys() & names):
        raise ConfigError(
            f"{', '.join(misplaced)}: reduction settings go into the nested record reduction=ReductionConfig(...)"
        )
