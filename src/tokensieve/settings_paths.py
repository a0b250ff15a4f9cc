"""Nested settings by dotted path: assignments such as ``prune.schedule.first=.5``, applied to a record.

A record is the nested dictionary that a settings class writes, such as a config's `to_dict`. A cell of it is an object
that says by ``name`` which choice it is. Names are checked by the class that reads the record, not here.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokensieve.checks import nearest, read_object, shown
from tokensieve.errors import ConfigError

_WORDS = {"none": None, "null": None, "true": True, "false": False}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
NAME = "name"
"""The key of a cell that says which choice it is."""


@dataclass(frozen=True)
class Assignment:
    """A value for a place in a nested record.

    Attributes:
        path: names from the outermost one to the field.
        value: a JSON value.
        text: the value as it was written, for fields that take it as a text; None where it was not written as one.
    """

    path: tuple[str, ...]
    value: Any
    text: str | None = None

    @property
    def name(self) -> str:
        """The dotted path."""
        return ".".join(self.path)


def parse_assignment(given: str) -> Assignment:
    """Read ``path=value``.

    Raises:
        ConfigError: there is no ``=``, or a name of the path is empty.
    """
    path, sign, value = given.partition("=")
    names = tuple(name.strip() for name in path.split("."))
    if not sign or not all(names):
        raise ConfigError(f"--set {shown(given)}: give a dotted path and a value, such as prune.schedule.keep=0.7")
    return Assignment(names, parse_value(value), value)


def parse_value(text: str) -> Any:
    """The JSON value of a text; ``none`` is null, ``1,0.7,0.5`` a list, and all else is the text itself."""
    plain = text.strip()
    if plain.lower() in _WORDS:
        return _WORDS[plain.lower()]
    try:
        return json.loads(plain)
    except (ValueError, RecursionError):
        pass
    if _NUMBER.fullmatch(plain):
        return float(plain)
    parts = plain.split(",")
    if len(parts) > 1 and all(part.strip() for part in parts) and plain[0] not in '[{"':
        return [parse_value(part.strip()) for part in parts]
    return text


def value_text(value: Any) -> str:
    """The text that `parse_value` reads as this value: a string as it is if that is unambiguous, else JSON."""
    if isinstance(value, str):
        return value if parse_value(value) == value else json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        parts = [value_text(part) for part in value]
        joined = ",".join(parts)
        return joined if parse_value(joined) == list(value) else json.dumps(list(value), ensure_ascii=False)
    if value is None:
        return "none"
    return json.dumps(value)


def apply(record: Mapping[str, Any], assignments: Iterable[Assignment]) -> dict[str, Any]:
    """The record with values assigned in order, so that the last one to a place stays; the argument is not changed.

    A path through null makes an object. A name assigned to a cell, or to null, makes a cell of that name with nothing
    else in it; the name that the cell has already changes nothing.

    Raises:
        ConfigError: a path leads through a value that has no settings.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(record))
    for assignment in assignments:
        place = changed
        *outer, last = _cell_path(assignment.path)
        for depth, name in enumerate(outer, 1):
            inner = place.get(name)
            if isinstance(inner, str):
                inner = {NAME: inner}
            elif inner is None:
                inner = {}
            if not isinstance(inner, dict):
                here = ".".join(assignment.path[:depth])
                raise ConfigError(f"--set {assignment.name}: {here} is {shown(inner)}, which has no settings")
            place[name] = inner
            place = inner
        place[last] = _in_place_of(place, last, copy.deepcopy(assignment.value))
    return changed


def _cell_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """The name of a cell is assigned as the cell is: the settings of another one are not its own."""
    return path[:-1] if len(path) > 1 and path[-1] == NAME else path


def _in_place_of(place: Mapping[str, Any], name: str, value: Any) -> Any:
    if name not in place or not isinstance(value, str):
        return value
    before = place[name]
    if isinstance(before, dict) and NAME in before:
        return before if before[NAME] == value else {NAME: value}
    return {NAME: value} if before is None else value


def assignments_of(record: Mapping[str, Any], outer: tuple[str, ...] = ()) -> list[Assignment]:
    """A nested record as assignments, the name of a cell ahead of its fields."""
    found = []
    for name in sorted(record, key=lambda name: name != NAME):
        value, path = record[name], (*outer, name)
        if name == NAME and outer:
            found.append(Assignment(outer, value))
        elif isinstance(value, Mapping) and value:
            found += assignments_of(value, path)
        else:
            found.append(Assignment(path, value))
    return found


def read_settings(file: Path) -> list[Assignment]:
    """The assignments that a JSON file of nested settings stands for.

    Raises:
        ConfigError: the file cannot be read, or holds no object; it names the file.
    """
    try:
        return assignments_of(read_object(file))
    except OSError as error:
        raise ConfigError(f"--config {file}: it cannot be read ({error.strerror}): name a JSON file") from error
    except ValueError as error:
        raise ConfigError(
            f"--config {file}: it holds no JSON object of settings ({error}): give one, such as "
            '{"preset": "fast", "train": {"epochs": 3}}'
        ) from error


def unknown_name(path: str, name: str, known: Collection[str]) -> ConfigError:
    """The error of a name that is not known.

    Args:
        path: the dotted path of what should have it; "" for the outermost record.
        name: as it was given.
        known: the names that there are.
    """
    where = f"{path}." if path else ""
    meant = nearest(name, known, 0.5, where)
    return ConfigError(f"unknown setting {shown(where + name)}: {meant}known are {', '.join(known)}")
