"""CSV and TSV as a spreadsheet or pandas writes them: a header line, quotes doubled inside quotes, newlines in quotes.

Python's own reader does the parsing, in its strict mode: the lenient one turns ``"so "good" it hurts"`` into another
text without a word, and lets a quote that is never closed swallow the rest of the file.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tokensieve.data.rows import Columns, Defect, Reason, Row, list_names, shorten
from tokensieve.data.sources import MAX_RECORD_CHARS
from tokensieve.errors import DataError

if TYPE_CHECKING:
    from _csv import Reader


def read_delimited(lines: Iterator[str], source: str, delimiter: str, columns: Columns) -> Iterator[Row | Defect]:
    """Rows of a delimited file, lazily; blank lines are not records.

    Args:
        lines: The file, with its line ends kept as they are (``newline=""``).
        source: Its name, for messages.
        delimiter: ``,`` or a tab.
        columns: The columns to read, as the header names them.

    Raises:
        DataError: The header is missing or broken, or has no such column, or has it twice.
    """
    records = _records(lines, delimiter)
    header = next(records, None)
    if header is None:
        raise DataError(f"{source} is blank: give a file with a header line that names the columns")
    if isinstance(header, Defect):
        raise DataError(f"{source}, line {header.line}: the header cannot be read: {header.detail}; correct it")
    names = header[2]
    places = {role: column_index(names, name, source, role) for role, name in columns.by_role.items()}
    for record in records:
        if isinstance(record, Defect):
            yield record
        elif len(record[2]) != len(names):
            yield _field_count(record, len(names))
        else:
            line, _, fields = record
            yield Row(line, **{role: fields[place] for role, place in places.items()})


def column_index(columns: list[str], name: str, source: str, role: str) -> int:
    """Place of a column in a header.

    Raises:
        DataError: There is no such column, or more than one.
    """
    count = columns.count(name)
    if count == 1:
        return columns.index(name)
    if count > 1:
        raise DataError(f"{source}: {count} columns are called {name!r}; rename all but the {role} column")
    raise DataError(
        f"{source} has no column {name!r}; its columns are {list_names(columns)}; "
        f"name the {role} column with --{role}-column ({role}_column=)"
    )


def _field_count(record: tuple[int, int, list[str]], wanted: int) -> Defect:
    first, last, fields = record
    span = f" in lines {first} to {last}" if last > first else ""
    return Defect(first, Reason.FIELD_COUNT, f"{len(fields)} where the header has {wanted}{span}: {shorten(fields)}")


def _records(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, int, list[str]] | Defect]:
    """First line, last line and fields of each record."""
    feed = _Feed(lines)
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        first = feed.start_record()
        try:
            fields = _next_record(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Defect(first, Reason.QUOTES, f"{_problem(error)}: {shorten(feed.take_back())}")
            continue
        if fields:
            yield first, feed.number, fields


def _next_record(reader: Reader) -> list[str]:
    # The limit is a setting of the whole process; it is lifted only while this reader is at work.
    before = csv.field_size_limit(MAX_RECORD_CHARS)
    try:
        return next(reader)
    finally:
        csv.field_size_limit(before)


def _problem(error: csv.Error) -> str:
    if "expected after" in str(error):
        return "text goes on after a closing quote (a quote within quotes has to be written twice)"
    if "unexpected end" in str(error):
        return "a quote is never closed (a field that begins with a quote has to be in quotes)"
    return str(error)


class _Feed:
    """Lines for the csv reader, which can be taken back.

    A quote that is opened and never closed runs on over good lines. Once the record has turned out to be broken, only
    its first line is given up: the others are read again, each as the beginning of a record of its own.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self.number = 0
        self._fresh = lines
        self._again: deque[str] = deque()
        self._record: list[str] = []

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._fresh)
        self.number += 1
        self._record.append(line)
        return line

    def start_record(self) -> int:
        """Forget the lines of the record before; the number of the line to come."""
        self._record.clear()
        return self.number + 1

    def take_back(self) -> str:
        """Put back all lines of this record but the first, which is returned."""
        first, *others = self._record
        self._again.extendleft(reversed(others))
        self.number -= len(others)
        return first
