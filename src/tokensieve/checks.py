"""Checks of a field's value, for settings and for the JSON files that we read.

Each error names the field, the value and the remedy. A boolean is no number, and a number is finite.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from tokensieve.errors import ConfigError

LARGEST = 2**31 - 1
"""The largest whole number that any field takes: the product of two still fits into 64 bits, torch's own integers."""
_LONGEST = 200  # characters of a value that a message quotes


@dataclass(frozen=True)
class Check:
    """A check of a field's value.

    Attributes:
        fits: tells whether a value of any type is one.
        remedy: what to do about a value that is not.
    """

    fits: Callable[[Any], bool]
    remedy: str

    def or_none(self) -> Check:
        """The same check, which None passes, too."""
        return Check(lambda value: value is None or self.fits(value), f"{self.remedy}, or None")


def check_value(name: str, value: object, check: Check) -> None:
    """Raise ConfigError unless the value passes."""
    if not check.fits(value):
        raise ConfigError(f"{name}={shown(value)}: {check.remedy}")


def check_values(values: Mapping[str, object], checks: Mapping[str, Check]) -> None:
    """Check each value that has a check under its name.

    Raises:
        ConfigError: names the first value that does not pass.
    """
    for name, check in checks.items():
        if name in values:
            check_value(name, values[name], check)


def shown(value: object) -> str:
    """A value as messages quote it, shortened."""
    try:
        text = repr(value)
    except ValueError:  # Python prints no whole number of more than 4300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def nearest(name: object, known: Collection[str], alike: float = 0.6, place: str = "") -> str:
    """The start of a remedy that names the known name which is most like a wrong one; "" if none is.

    Args:
        name: as it was given.
        known: the names that there are.
        alike: how alike two names have to be, in [0, 1] (`difflib`).
        place: goes ahead of the name.
    """
    found = get_close_matches(str(name), known, 1, alike)
    return f"did you mean {place}{found[0]}? " if found else ""


def refuse_unknown(record: Mapping[str, object], known: Collection[str]) -> None:
    """Raise ConfigError, which names the nearest known field, if a record has a field that there is none of."""
    for name in record:
        if name not in known:
            raise ConfigError(f"{name}={shown(record[name])}: {nearest(name, known)}the fields are {', '.join(known)}")


def read_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no JSON, something else than an object, or a name twice.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_named_once)
    except RecursionError as error:
        raise ValueError("its brackets are nested too deeply") from error
    if not isinstance(record, dict):
        raise ValueError(f"it holds {shown(record)} in place of an object")
    return record


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it names {shown(twice)} twice in one object")
    return record


def is_number(value: object) -> bool:
    """Whether the value is a finite number, and no boolean."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


def is_whole(value: object, least: int = 0, most: int = LARGEST) -> bool:
    """Whether the value is a whole number from `least` to `most`; 2.0 is not."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def number(fits: Callable[[float], bool], wanted: str) -> Check:
    """A finite number that fits; `wanted` says what fits."""
    return Check(lambda value: is_number(value) and fits(value), f"give {wanted}")


def whole(least: int, most: int = LARGEST) -> Check:
    """A whole number from `least` to `most`."""
    return Check(lambda value: is_whole(value, least, most), f"give a whole number of {least} or more, at most {most}")


def one_of(choices: Collection[str]) -> Check:
    """One of some words."""
    names = ", ".join(map(repr, choices))
    return Check(lambda value: isinstance(value, str) and value in choices, f"choose one of {names}")


def list_of(each: Check, plural: str) -> Check:
    """A list, maybe empty, whose values all pass `each`; `plural` names them."""
    return Check(
        lambda value: isinstance(value, (list, tuple)) and all(map(each.fits, value)), f"give a list of {plural}"
    )


BOOLEAN = Check(lambda value: isinstance(value, bool), "give True or False")
TEXT = Check(lambda value: isinstance(value, str), "give a text")
SHARE = number(lambda share: 0 <= share <= 1, "a number in [0, 1]")
AT_LEAST_ZERO = number(lambda value: 0 <= value <= 1e6, "a number of 0 or more, at most 1e6")  # float32 adds it up


def check_number(settings: object, name: str, fits: Callable[[float], bool], wanted: str) -> None:
    """Raise ConfigError unless the field is a finite number that fits."""
    check_value(name, getattr(settings, name), number(fits, wanted))


def check_integer(settings: object, name: str, least: int, most: int = LARGEST) -> None:
    """Raise ConfigError unless the field is a whole number from `least` to `most`."""
    check_value(name, getattr(settings, name), whole(least, most))


def check_choice(settings: object, name: str, choices: Any) -> None:
    """Raise ConfigError unless the field is one of a Literal's values."""
    check_value(name, getattr(settings, name), one_of(get_args(choices)))


def check_boolean(settings: object, name: str) -> None:
    """Raise ConfigError unless the field is True or False."""
    check_value(name, getattr(settings, name), BOOLEAN)
