"""The formats of one record a line: JSONL and plain text."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tokensieve.data.rows import Columns, Defect, Reason, Row, list_names, shorten

_MISSING = {"text": Reason.MISSING_TEXT, "label": Reason.MISSING_LABEL, "pair": Reason.MISSING_TEXT}


def read_jsonl(lines: Iterator[str], columns: Columns) -> Iterator[Row | Defect]:
    """Rows of a file with one JSON object a line, lazily; blank lines are not records."""
    names = columns.by_role
    for number, line in enumerate(lines, start=1):
        if not line.isspace():
            yield _parse(number, line, names)


def read_plain(lines: Iterator[str]) -> Iterator[Row | Defect]:
    """Rows of a text file with one document a line and no labels, lazily.

    A blank line is a record, if an unusable one: whoever lines up the output with the input has to hear of it.
    """
    for number, line in enumerate(lines, start=1):
        yield Row(number, line.removesuffix("\n").removesuffix("\r"))


def _parse(number: int, line: str, names: dict[str, str]) -> Row | Defect:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Defect(number, Reason.JSON, f"{_problem(error)}: {shorten(line.strip())}")
    if not isinstance(record, dict):
        return Defect(number, Reason.NOT_AN_OBJECT, f"{type(record).__name__} {shorten(record)}")
    for role, name in names.items():
        if name not in record:
            return Defect(number, _MISSING[role], f"no field {name!r}; the fields are {list_names(record)}")
    return Row(number, **{role: record[name] for role, name in names.items()})


def _problem(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.colno}"
    return "brackets nested too deep" if isinstance(error, RecursionError) else "a number of too many digits"
