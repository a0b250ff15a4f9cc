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
class Row:
    """A record that could be parsed: the values of the two columns as the format gives them, None for a null.

    Bytes that are not UTF-8 arrive as lone surrogates (PEP 383), so that one bad row does not spoil its file.
    """

    line: int
    text: object
    label: object = None


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


def to_document(row: Row, source: str, *, labelled: bool, known_labels: Collection[str] | None) -> Document | Defect:
    """Check a row and make it a document.

    Args:
        row: The parsed record.
        source: Name of the file, for the document.
        labelled: Whether a label is wanted. Without it, `row.label` is not looked at and the document has none.
        known_labels: The labels allowed, or None for any.

    Returns:
        The document, or the defect that keeps the row from being one.
    """
    if not isinstance(row.text, str):
        return _not_text(row)
    defect = _text_defect(row.line, row.text)
    if defect is not None or not labelled:
        return defect or Document(row.text, None, source, row.line)
    label = _label(row)
    if isinstance(label, Defect):
        return label
    if known_labels is not None and label not in known_labels:
        known = list_names(sorted(known_labels))
        return Defect(row.line, Reason.UNKNOWN_LABEL, f"{shorten(label)}; the known labels are {known}")
    return Document(row.text, label, source, row.line)


def _not_text(row: Row) -> Defect:
    if row.text is None:
        return Defect(row.line, Reason.MISSING_TEXT, "the value is null")
    return Defect(row.line, Reason.TEXT_TYPE, f"{type(row.text).__name__} {shorten(row.text)} where a string is wanted")


def _text_defect(line: int, text: str) -> Defect | None:
    if not text or text.isspace():
        return Defect(line, Reason.EMPTY_TEXT, shorten(text))
    if _SURROGATE.search(text):
        return Defect(line, Reason.ENCODING, shorten(text))
    controls = len(_CONTROL.findall(text))
    if controls > _MAX_CONTROL_SHARE * len(text) or "\0" in text:
        return Defect(line, Reason.BINARY_TEXT, shorten(text))
    return None


def _label(row: Row) -> str | Defect:
    label = row.label
    if isinstance(label, int) and not isinstance(label, bool):
        return str(label)
    if label is None:
        return Defect(row.line, Reason.MISSING_LABEL, "the value is null")
    if not isinstance(label, str):
        wanted = f"{type(label).__name__} {shorten(label)} where a string or a whole number is wanted"
        return Defect(row.line, Reason.LABEL_TYPE, wanted)
    if not label or label.isspace():
        return Defect(row.line, Reason.MISSING_LABEL, shorten(label))
    if _SURROGATE.search(label):
        return Defect(row.line, Reason.ENCODING, f"label {shorten(label)}")
    return label
