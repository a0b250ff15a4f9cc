"""Which records can be used: the one place that decides, whatever the format they come in."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from tokensieve.data.documents import Document

# Whitespace controls (tab, newlines, form feed) belong to text. Real mail and scraped pages also hold a stray
# backspace or escape here and there, up to 7 % of a document in the 20 Newsgroups; a binary file is full of them.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_MAX_CONTROL_SHARE = 0.1
_SURROGATE = re.compile(r"[\ud800-\udfff]")

MULTI_LABEL_REMEDY = "; read lists of labels with --multi-label (multi_label=True)"


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
class LabelRule:
    """What a label may be.

    Attributes:
        multi: A record has any number of labels, as a list or as a string with `separator` between them.
        separator: What divides labels within a string. Space around a label goes away with it.
        known: The labels allowed, or None for any.
    """

    multi: bool = False
    separator: str = "|"
    known: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A record that could be parsed: the values of its columns as the format gives them, None for a null.

    Bytes that are not UTF-8 arrive as lone surrogates (PEP 383), so that one bad row does not spoil its file.
    """

    line: int
    text: object
    label: object = None
    pair: object = None


@dataclass(frozen=True, slots=True)
class Defect:
    """A record that cannot be used, and what is wrong with it."""

    line: int
    reason: Reason
    detail: str = ""


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


def to_document(row: Row, source: str, columns: Columns, rule: LabelRule) -> Document | Defect:
    """Check a row and make it a document.

    Args:
        row: The parsed record.
        source: Name of the file, for the document.
        columns: What was asked for. A label or pair that was not is not looked at, and the document has none.
        rule: What its label may be.

    Returns:
        The document, or the defect that keeps the row from being one.
    """
    text = _text(row.line, row.text)
    if isinstance(text, Defect):
        return text
    pair = None if columns.pair is None else _text(row.line, row.pair, "pair ")
    if isinstance(pair, Defect):
        return pair
    label = None if columns.label is None else _known_labels(row, rule)
    return label if isinstance(label, Defect) else Document(text, label, source, row.line, pair)


def _text(line: int, value: object, what: str = "") -> str | Defect:
    """The value if it is a text; `what` begins the detail where it is not the document's first."""
    if value is None:
        return Defect(line, Reason.MISSING_TEXT, f"{what}the value is null")
    if not isinstance(value, str):
        wanted = f"{what}{type(value).__name__} {shorten(value)} where a string is wanted"
        return Defect(line, Reason.TEXT_TYPE, wanted)
    if not value or value.isspace():
        return Defect(line, Reason.EMPTY_TEXT, f"{what}{shorten(value)}")
    if _SURROGATE.search(value):
        return Defect(line, Reason.ENCODING, f"{what}{shorten(value)}")
    controls = len(_CONTROL.findall(value))
    if controls > _MAX_CONTROL_SHARE * len(value) or "\0" in value:
        return Defect(line, Reason.BINARY_TEXT, f"{what}{shorten(value)}")
    return value


def _known_labels(row: Row, rule: LabelRule) -> str | tuple[str, ...] | Defect:
    """The label, or all of them in a multi-label data set, each once and in the order given."""
    labels = _multi_label(row, rule.separator) if rule.multi else _label(row.line, row.label)
    if isinstance(labels, Defect) or rule.known is None:
        return labels
    unknown = [label for label in ((labels,) if isinstance(labels, str) else labels) if label not in rule.known]
    if unknown:
        known = list_names(sorted(rule.known))
        return Defect(row.line, Reason.UNKNOWN_LABEL, f"{shorten(unknown[0])}; the known labels are {known}")
    return labels


def _multi_label(row: Row, separator: str) -> tuple[str, ...] | Defect:
    if row.label is None:
        return Defect(row.line, Reason.MISSING_LABEL, "the value is null; where no label applies, give an empty list")
    values = [row.label]
    if isinstance(row.label, list):
        values = row.label
    elif isinstance(row.label, str):
        values = [part.strip() for part in row.label.split(separator)] if row.label.strip() else []
    labels: dict[str, None] = {}
    for value in values:
        label = _label(row.line, value)
        if isinstance(label, Defect):
            return Defect(label.line, label.reason, f"{label.detail} in {shorten(row.label)}")
        labels[label] = None
    return tuple(labels)


def _label(line: int, label: object) -> str | Defect:
    if isinstance(label, int) and not isinstance(label, bool):
        return str(label)
    if label is None:
        return Defect(line, Reason.MISSING_LABEL, "the value is null")
    if not isinstance(label, str):
        wanted = f"{type(label).__name__} {shorten(label)} where a string or a whole number is wanted"
        return Defect(line, Reason.LABEL_TYPE, wanted + (MULTI_LABEL_REMEDY if isinstance(label, list) else ""))
    if not label or label.isspace():
        return Defect(line, Reason.MISSING_LABEL, shorten(label))
    if _SURROGATE.search(label):
        return Defect(line, Reason.ENCODING, f"label {shorten(label)}")
    return label
