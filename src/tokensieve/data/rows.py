"""A record as reading delivers it: its values as the format has them, or its defect."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

SURROGATE = re.compile(r"[\ud800-\udfff]")
"""Stands for bytes that are not UTF-8 (PEP 383)."""


class Reason(StrEnum):
    """Why a record cannot be used."""

    EMPTY_TEXT = "empty text"
    MISSING_TEXT = "missing text"
    TEXT_TYPE = "text of the wrong type"
    BINARY_TEXT = "binary data in place of text"
    ENCODING = "not valid UTF-8"
    JSON = "invalid JSON"
    NOT_AN_OBJECT = "JSON that is not an object"
    QUOTES = "broken quotes"
    FIELD_COUNT = "wrong number of fields"
    MISSING_LABEL = "missing label"
    LABEL_TYPE = "label of the wrong type"
    REPEATED_LABEL = "a label given twice"
    UNKNOWN_LABEL = "unknown label"


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns, or JSON fields, to read; None for what is not asked for."""

    text: str
    label: str | None = None
    pair: str | None = None

    @property
    def by_role(self) -> dict[str, str]:
        """The columns asked for, by what `Row` calls them."""
        names = {"text": self.text, "label": self.label, "pair": self.pair}
        return {role: name for role, name in names.items() if name is not None}


@dataclass(frozen=True, slots=True)
class Row:
    """A record that could be parsed: the values of its columns as the format gives them, None for a null.

    Bytes that are not UTF-8 arrive as lone surrogates (PEP 383), so that one bad row does not spoil its file. `line` is
    the 1-based line on which it begins, or its 1-based place where the source has no lines; `unit` says which.
    """

    line: int
    text: object
    label: object = None
    pair: object = None
    unit: str = "line"


@dataclass(frozen=True, slots=True)
class Defect:
    """A record that cannot be used, and what is wrong with it."""

    line: int
    reason: Reason
    detail: str = ""
    unit: str = "line"


def bare_name(name: str) -> str:
    """The name of a column without the space or byte order mark around it."""
    return name.strip("\ufeff").strip()


def shorten(value: object, limit: int = 60) -> str:
    """`repr` of a value, cut in the middle to about `limit` characters; safe to print whatever the value holds."""
    # Slicing first keeps the repr of a text of many megabytes from being built only to be thrown away.
    shown = repr(value[: 2 * limit] + value[-limit:] if isinstance(value, str) and len(value) > 3 * limit else value)
    if len(shown) <= limit:
        return shown
    return f"{shown[: limit - 13]}...{shown[-10:]}"


def list_names(names: Collection[str], limit: int = 10) -> str:
    """Names for a message, in the order given, quoted; the first `limit` and the number left out."""
    shown = ", ".join(shorten(name, 40) for name in list(names)[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown or "none"
