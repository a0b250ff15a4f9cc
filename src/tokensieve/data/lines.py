"""The formats of one record a line: JSONL and plain text."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tokensieve.data.rows import Defect, Reason, Row, list_names, shorten


def read_jsonl(lines: Iterator[str], text_column: str, label_column: str | None) -> Iterator[Row | Defect]:
    """Rows of a file with one JSON object a line, lazily; blank lines are not records."""
    for number, line in enumerate(lines, start=1):
        if not line.isspace():
            yield _parse(number, line, text_column, label_column)


def read_plain(lines: Iterator[str]) -> Iterator[Row | Defect]:
    """Rows of a text file with one document a line and no labels, lazily.

    A blank line is a record, if an unusable one: whoever lines up the output with the input has to hear of it.
    """
    for number, line in enumerate(lines, start=1):
        yield Row(number, line.removesuffix("\n").removesuffix("\r"))


def _parse(number: int, line: str, text_column: str, label_column: str | None) -> Row | Defect:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Defect(number, Reason.JSON, f"{_problem(error)}: {shorten(line.strip())}")
    if not isinstance(record, dict):
        return Defect(number, Reason.NOT_AN_OBJECT, f"{type(record).__name__} {shorten(record)}")
    if text_column not in record:
        return Defect(number, Reason.MISSING_TEXT, _no_field(text_column, record))
    if label_column is not None and label_column not in record:
        return Defect(number, Reason.MISSING_LABEL, _no_field(label_column, record))
    return Row(number, record[text_column], None if label_column is None else record[label_column])


def _problem(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.colno}"
    return "brackets nested too deep" if isinstance(error, RecursionError) else "a number of too many digits"


def _no_field(name: str, record: dict[str, object]) -> str:
    return f"no field {name!r}; the fields are {list_names(record)}"
