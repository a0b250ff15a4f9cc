"""The one place that decides which records can be used, whatever their format."""

from __future__ import annotations

import re

from tokensieve.data.documents import Document
from tokensieve.data.labels import LabelRule
from tokensieve.data.rows import SURROGATE, Columns, Defect, Reason, Row, shorten

# Whitespace controls (tab, newlines, form feed) belong to text. Real mail and scraped pages also hold a stray
# backspace or escape here and there, up to 7 % of a document in the 20 Newsgroups; a binary file is full of them.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_MAX_CONTROL_SHARE = 0.1


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
    label = None if columns.label is None else rule.read(row.line, row.label)
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
    if SURROGATE.search(value):
        return Defect(line, Reason.ENCODING, f"{what}{shorten(value)}")
    controls = len(_CONTROL.findall(value))
    if controls > _MAX_CONTROL_SHARE * len(value) or "\0" in value:
        return Defect(line, Reason.BINARY_TEXT, f"{what}{shorten(value)}")
    return value
