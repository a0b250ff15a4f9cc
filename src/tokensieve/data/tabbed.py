"""TSV: a record is one line. A field wholly in quotes is quoted, as pandas writes it; any other quote is a character.

Most TSV files are written without quoting, and their texts begin or end with a quote wherever they like. Read as CSV, a
quote at the beginning of a text takes in all lines up to the next quote at the end of one.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator

from tokensieve.data.rows import Defect, Reason, shorten

# Possessive, so that a long line with many quotes is read once.
_FIELD = re.compile(r'"((?:[^"]++|"")*+)"(?=\t|\Z)|([^\t]*)')

_ONE_LINE = "a record of TSV is one line; write texts of several lines as CSV, JSONL or Parquet"


def read_tabbed(lines: Iterator[str]) -> Iterator[tuple[int, int, list[str]] | Defect]:
    """First line, last line (the same) and fields of each record, lazily; blank lines are not records.

    The first record is the header: its number of fields is that of all records. A record that goes on in further lines
    is reported, and its lines are not read as records, wherever that can be told: a quote is opened and not closed,
    and this line or the next has another number of fields.
    """
    ahead = _Ahead(lines)
    width: int | None = None
    begun: int | None = None  # the line of a record that goes on in further lines
    for number, line in ahead:
        fields = split_line(line, width)
        width = width or len(fields)
        whole = len(fields) == width
        if begun is not None:
            closes = line.count('"') % 2 == 1
            if closes or not whole:
                yield Defect(number, Reason.QUOTES, f"a part of the record that begins in line {begun}: {_ONE_LINE}")
                begun = None if closes else begun
                continue
            begun = None
        following = ahead.peek()
        if _is_open(line) and not (whole and (following is None or len(split_line(following, width)) == width)):
            begun = number
            detail = f"a quote begins a field and is not closed in the line: {shorten(line)}; {_ONE_LINE}"
            yield Defect(number, Reason.QUOTES, detail)
        else:
            yield number, number, fields


def split_line(line: str, width: int | None = None) -> list[str]:
    """The fields of a line without its end; if that gives `width` of them, a tab between quotes is no division."""
    literal = line.split("\t")
    if '"' not in line:
        return literal
    fields: list[str] = []
    place = 0
    while place <= len(line):
        match = _FIELD.match(line, place)
        assert match is not None  # the second alternative matches nothing too
        fields.append(match[2] if match[1] is None else match[1].replace('""', '"'))
        place = match.end() + 1
    return literal if len(fields) != width == len(literal) else fields


def _is_open(line: str) -> bool:
    """Whether some field begins with a quote that the rest of the line does not close."""
    starts = (match.end() for match in re.finditer(r"(?:\A|\t)(?=\")", line))
    return any(line.count('"', start) % 2 == 1 for start in starts)


class _Ahead:
    """The lines that are not blank, with their numbers and without their ends; the next one can be looked at."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = enumerate((line.rstrip("\r\n") for line in lines), start=1)
        self._waiting: deque[tuple[int, str]] = deque()

    def __iter__(self) -> _Ahead:
        return self

    def __next__(self) -> tuple[int, str]:
        return self._waiting.popleft() if self._waiting else next(item for item in self._lines if item[1])

    def peek(self) -> str | None:
        if not self._waiting:
            self._waiting.extend([item] if (item := next((item for item in self._lines if item[1]), None)) else [])
        return self._waiting[0][1] if self._waiting else None
