"""CSV and other files of columns with a header line; how their columns are found.

CSV is as a spreadsheet or pandas writes it: quotes doubled inside quotes, newlines in quotes. Python's own reader does
the parsing, in its strict mode: the lenient one turns ``"so "good" it hurts"`` into another text without a word, and
lets a quote that is never closed swallow the rest of the file. Tabs divide by the rule of `tokensieve.data.tabbed`.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from tokensieve.data.rows import Columns, Defect, Reason, Row, bare_name, list_names, shorten
from tokensieve.data.sources import MAX_RECORD_CHARS
from tokensieve.data.tabbed import read_tabbed
from tokensieve.errors import ConfigError, DataError

if TYPE_CHECKING:
    from _csv import Reader

TAB = "\t"
_COMMON = (",", ";", TAB, "|")
_LONGEST_NAME = 40  # characters; what is longer in a header is hardly the name of a column
_NO_HEADER = ", or, if the first line is a document, put a line above it that names the columns"


def check_delimiter(delimiter: str | None) -> str | None:
    """The character that divides columns; a tab also as ``tab`` or backslash and t, as a shell passes it on.

    Raises:
        ConfigError: It is no single character that can divide columns.
    """
    given = {"tab": "\t", "\\t": "\t"}.get(delimiter or "", delimiter)
    if given is not None and (len(given) != 1 or given.isalnum() or given in '"\r\n\0\ufeff'):
        raise ConfigError(
            f"delimiter={delimiter!r}: give the one character that divides the columns, such as ';', or tab"
        )
    return given


def read_delimited(lines: Iterator[str], source: str, delimiter: str, columns: Columns) -> Iterator[Row | Defect]:
    """Rows of a delimited file, lazily; blank lines are not records.

    Args:
        lines: The file, with its line ends kept as they are (``newline=""``).
        source: Its name, for messages.
        delimiter: What divides the columns; a tab by the rule for TSV.
        columns: The columns to read, as the header names them.

    Raises:
        DataError: The header is missing or broken, or has no such column, or has two of it.
    """
    first = next(lines, "")
    lines = chain([first], lines)
    records = read_tabbed(lines) if delimiter == TAB else _records(lines, delimiter)
    header = next(records, None)
    if header is None:
        raise DataError(f"{source} is blank: give a file with a header line that names the columns")
    if isinstance(header, Defect):
        remedy = _header_hint([first.rstrip("\r\n")], delimiter, columns) or "correct it"
        raise DataError(f"{source}, line {header.line}: the header cannot be read: {header.detail}; {remedy}")
    names = header[2]
    hint = _header_hint(names, delimiter, columns)
    places = {role: column_index(names, name, source, role, hint, _NO_HEADER) for role, name in columns.by_role.items()}
    for record in records:
        if isinstance(record, Defect):
            yield record
        elif len(record[2]) != len(names):
            yield _field_count(record, len(names))
        else:
            line, _, fields = record
            yield Row(line, **{role: fields[place] for role, place in places.items()})


def column_index(columns: list[str], name: str, source: str, role: str, hint: str = "", also: str = "") -> int:
    """Place of a column in a header: the one of that name, with or without space around it.

    Args:
        columns: The names in the header.
        name: The one wanted.
        source: For messages.
        role: What the column is for: text, label or pair.
        hint: What to do where no column has the name; else to name the column, or what `also` says.
        also: Another remedy than to name the column.

    Raises:
        DataError: There is no such column, or more than one.
    """
    places = [place for place, column in enumerate(columns) if name in (column, bare_name(column))]
    if len(places) == 1:
        return places[0]
    if places:
        raise DataError(f"{source}: {len(places)} columns are called {name!r}; rename all but the {role} column")
    raise DataError(
        f"{source} has no column {name!r}; its columns are {list_names(columns)}; "
        + (hint or f"name the {role} column with --{role}-column ({role}_column=){also}")
    )


def _header_hint(names: list[str], delimiter: str, columns: Columns) -> str:
    """The remedy for a header with another delimiter; empty if it has none."""
    line = delimiter.join(names)
    if line[:4].lower() == "sep=":
        divider = line[4:] or delimiter
        option = f" and give{_divided_by(divider)}" if divider != delimiter else ""
        return f"the first line is a note for Excel: remove it{option}"
    for other in _COMMON:
        parts = [bare_name(part).strip('"') for part in line.split(other)]
        alone = len(names) == 1 and all(0 < len(part) <= _LONGEST_NAME for part in parts)
        if other != delimiter and len(parts) > 1 and (alone or set(columns.by_role.values()) <= set(parts)):
            return f"its header looks divided by {'a tab' if other == TAB else repr(other)}: give{_divided_by(other)}"
    return ""


def _divided_by(delimiter: str) -> str:
    option = "tab" if delimiter == TAB else f"'{delimiter}'"
    return f" --delimiter {option} (train: --set data.delimiter={option}, Python: delimiter={delimiter!r})"


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
    its first line is given up: each of the others is read as the beginning of a record of its own.
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
