"""Nested settings <-> records of JSON. A cell's record has its name under "name", beside its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tokensieve.checks import nearest, shown
from tokensieve.errors import ConfigError
from tokensieve.reduce.cell import Cell
from tokensieve.settings_paths import unknown_name

FORMAT_VERSION = 2


def to_record(settings: Any) -> dict[str, Any]:
    """The record of a dataclass of settings."""
    record: dict[str, Any] = {"name": settings.name} if isinstance(settings, Cell) else {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        nested = value is not None and field.name in getattr(settings, "nested", {})
        record[field.name] = to_record(value) if nested else list(value) if isinstance(value, tuple) else value
    return record


def from_record(kind: type[Any], record: object, path: str = "") -> Any:
    """The settings that a record describes.

    Args:
        kind: a dataclass of settings, or a kind of cells, of which the record names one. A text stands for a cell with
            its defaults. A kind with a single cell needs no name, nor does one that says which is meant
            (`Cell.unnamed`).
        record: of JSON.
        path: dotted place of the record, for errors; "": the top.

    Raises:
        ConfigError: names the place, what is unknown or out of range, and the nearest name that is known.
    """
    named = {"name": record} if isinstance(record, str) and issubclass(kind, Cell) else record
    if not isinstance(named, Mapping):
        raise ConfigError(f"{path or 'the settings'}={shown(record)}: give an object{_or_name(kind)}")
    values = dict(named)
    cls = _cell(kind, values, path) if issubclass(kind, Cell) else kind
    nested = getattr(cls, "nested", {})
    known = [field.name for field in fields(cls)]
    for name in values:
        if name not in known:
            raise unknown_name(path, str(name), known)
    for name in nested.keys() & values.keys():
        if values[name] is not None:
            values[name] = from_record(nested[name], values[name], _joined(path, name))
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(_joined(path, str(error))) from error


def _cell(kind: type[Any], values: dict[str, Any], path: str) -> type[Any]:
    """The class that a record names; the name is taken out of it."""
    choices = kind.choices
    default = next(iter(choices)) if len(choices) == 1 else kind.unnamed or None
    name = values.pop("name", default)
    if name is None:
        raise ConfigError(f"{path}: give its name too, one of {', '.join(choices)}")
    if not isinstance(name, str) or name not in choices:
        raise ConfigError(f"{path}={shown(name)}: {nearest(name, choices)}choose one of {', '.join(choices)}")
    return choices[name]  # type: ignore[no-any-return]


def _or_name(kind: type[Any]) -> str:
    if issubclass(kind, Cell):
        return f" with its settings, or a name, one of {', '.join(kind.choices)}"
    return f" with some of {', '.join(field.name for field in fields(kind))}"


def _joined(path: str, rest: str) -> str:
    return f"{path}.{rest}" if path else rest
