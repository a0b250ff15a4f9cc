"""JSON files: an array of objects, read as a stream, or one object a line; and JSONL, which is the latter alone."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from tokensieve.data.rows import Columns, Defect, Reason, Row, bare_name, list_names, shorten
from tokensieve.data.sources import MAX_RECORD_CHARS, bounded_lines
from tokensieve.errors import DataError

_MISSING = {"text": Reason.MISSING_TEXT, "label": Reason.MISSING_LABEL, "pair": Reason.MISSING_TEXT}
_REMEDY = (
    'give an array of objects, [{"text": ..., "label": ...}, ...], or one object a line; '
    "pandas writes them by to_json(path, orient='records', lines=True)"
)
_CHUNK = 1 << 16  # characters

_IN_STRING = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)
_AT_TOP = re.compile(r'["\[\]{},]')
_DEEPER = re.compile(r'["\[\]{}]')


def read_jsonl(text: io.TextIOWrapper, source: str, columns: Columns) -> Iterator[Row | Defect]:
    """Rows of a file with one JSON object a line, lazily; blank lines are not records.

    Raises:
        DataError: The file holds an array of objects.
    """
    opening = _opening(text)
    if "".join(opening.split()) in ("[{", "[]"):
        raise DataError(
            f"{source} holds a JSON array, not one object a line: give it a name that ends in .json or name the format "
            "(--input-format json, format='json'), or write one object a line"
        )
    for number, line in enumerate(bounded_lines(text, source, opening), start=1):
        if not line.isspace():
            yield _row(number, line, columns)


def read_json(text: io.TextIOWrapper, source: str, columns: Columns) -> Iterator[Row | Defect]:
    """Rows of a JSON file, lazily: of an array of objects, numbered from 1, or of one object a line, as `read_jsonl`.

    Raises:
        DataError: The file holds something else: a single object, columns, or an array of other values.
    """
    opening = _opening(text)
    begin = "".join(opening.split())
    if begin == "[{":
        yield from _array_rows(text, source, opening[opening.index("[") + 1 :], columns)
    elif begin.startswith("{"):
        yield from _line_rows(text, source, opening, columns)
    elif begin == "[]":
        return
    elif begin:
        what = "a JSON array of values that are no objects" if begin.startswith("[") else "no JSON objects"
        raise DataError(f"{source} holds {what}: it begins with {shorten(begin)}; {_REMEDY}")


def _line_rows(text: io.TextIOWrapper, source: str, opening: str, columns: Columns) -> Iterator[Row | Defect]:
    numbered = enumerate(bounded_lines(text, source, opening), start=1)
    filled = ((number, line) for number, line in numbered if not line.isspace())
    first, second = next(filled), next(filled, None)
    record = _loaded(first[1])
    held = ""
    if second is None and isinstance(record, dict) and isinstance(_field(record, columns.text), dict | list | _Absent):
        held = f"with the fields {list_names(record)}"
    if second is not None and record is None and not second[1].lstrip().startswith("{"):
        held = "over several lines"
    if held:
        raise DataError(f"{source} holds a single JSON object {held}; {_REMEDY}")
    for number, line in chain([first], [second] if second else [], filled):
        yield _row(number, line, columns)


def _array_rows(text: io.TextIOWrapper, source: str, begun: str, columns: Columns) -> Iterator[Row | Defect]:
    number = 0
    for number, element in enumerate(_Array(text, source, begun).elements(), start=1):
        if isinstance(element, str):
            yield _row(number, element, columns, unit="record")
        else:
            yield Defect(number, Reason.JSON, element.problem, unit="record")


class _Broken:
    """A problem with an array as a whole."""

    def __init__(self, problem: str) -> None:
        self.problem = problem


class _Array:
    """An array whose bracket is open, read a chunk at a time; only quotes, brackets and commas are looked at.

    So an element that is no JSON spoils no other. `begun` is what was read of the first one.
    """

    def __init__(self, text: io.TextIOWrapper, source: str, begun: str) -> None:
        self.text, self.source, self.buffer = text, source, begun
        self.start, self.scan = 0, 0  # where the element begins, and how far it was looked at
        self.depth, self.quoted, self.count = 0, False, 0

    def elements(self) -> Iterator[str | _Broken]:
        """The text of each element."""
        while True:
            sign = self._next_sign()
            if not self.depth and sign in (",", "]"):
                yield from self._element(sign)
                if sign == "]":
                    break
            self.depth = max(0, self.depth + (sign in ("[", "{")) - (sign in ("]", "}")))
            if not sign and not self._read_on():
                begun = shorten(self.buffer.strip())
                yield _Broken(f"the file ends before the array does, as if it was cut off: {begun}")
                return
        yield from self._behind_the_end()

    def _next_sign(self) -> str:
        """The next quote, bracket or comma, looked past; "" where the buffer has no more."""
        if self.quoted:
            self.scan = _end_of(_IN_STRING.match(self.buffer, self.scan))
            if self.buffer[self.scan : self.scan + 1] != '"':
                return ""
            self.quoted, self.scan = False, self.scan + 1
            return "end"
        match = (_DEEPER if self.depth else _AT_TOP).search(self.buffer, self.scan)
        self.scan = match.end() if match else len(self.buffer)
        self.quoted = match is not None and match[0] == '"'
        return match[0] if match else ""

    def _element(self, sign: str) -> Iterator[str | _Broken]:
        """The element that ends with the sign; an array without any has one that is blank."""
        element, self.start = self.buffer[self.start : self.scan - 1], self.scan
        if element and not element.isspace():
            yield element
        elif sign == "," or self.count:
            yield _Broken("a comma without a record before and after it")
        self.count += 1

    def _read_on(self) -> bool:
        """Read a chunk behind the element that is not complete; return whether there was one.

        Raises:
            DataError: The element is longer than a record may be.
        """
        self.buffer, self.start, self.scan = self.buffer[self.start :], 0, self.scan - self.start
        if len(self.buffer) > MAX_RECORD_CHARS:
            raise DataError(
                f"{self.source}, record {self.count + 1} is longer than {MAX_RECORD_CHARS} characters: "
                f"{self.buffer[:30]!r}...; check that this is an array of objects, and that each bracket and quote is "
                "closed"
            )
        chunk = self.text.read(_CHUNK)
        self.buffer += chunk
        return bool(chunk)

    def _behind_the_end(self) -> Iterator[_Broken]:
        rest = self.buffer[self.start :]
        while not rest or rest.isspace():
            rest = self.text.read(_CHUNK)
            if not rest:
                return
        yield _Broken(f"text after the end of the array: {shorten(rest.strip())}")


def _end_of(match: re.Match[str] | None) -> int:
    assert match is not None
    return match.end()


def _opening(text: io.TextIOWrapper) -> str:
    """The beginning of a file, up to its second character that is not space."""
    read: list[str] = []
    filled = 0
    while filled < 2 and (character := text.read(1)):
        read.append(character)
        filled += not character.isspace()
    return "".join(read)


def _row(number: int, line: str, columns: Columns, unit: str = "line") -> Row | Defect:
    try:
        record = json.loads(line, object_pairs_hook=_as_record)
    except (ValueError, RecursionError) as error:
        return Defect(number, Reason.JSON, f"{_problem(error)}: {shorten(line.strip())}", unit)
    if not isinstance(record, dict):
        return Defect(number, Reason.NOT_AN_OBJECT, f"{type(record).__name__} {shorten(record)}", unit)
    values = {role: _field(record, name) for role, name in columns.by_role.items()}
    for role, name in columns.by_role.items():
        if values[role] is _ABSENT:
            return Defect(number, _MISSING[role], f"no field {name!r}; the fields are {list_names(record)}", unit)
        if isinstance(record, _Repeats) and name in record.names:
            return Defect(
                number, Reason.JSON, f"the field {name!r} is there more than once: {shorten(line.strip())}", unit
            )
    return Row(number, **values, unit=unit)


class _Absent:
    pass


_ABSENT = _Absent()


def _field(record: dict[str, Any], name: str) -> Any:
    """The value of a field, also where its name has space around it in the record."""
    if name in record:
        return record[name]
    spaced = [key for key in record if bare_name(key) == name]
    return record[spaced[0]] if len(spaced) == 1 else _ABSENT


class _Repeats(dict[str, Any]):
    """A JSON object in which fields are there more than once."""

    names: frozenset[str]


def _as_record(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) == len(pairs):
        return record
    repeats = _Repeats(record)
    names = [name for name, _ in pairs]
    repeats.names = frozenset(name for name in names if names.count(name) > 1)
    return repeats


def _loaded(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _problem(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.colno}"
    return "brackets nested too deep" if isinstance(error, RecursionError) else "a number of too many digits"
