"""Plain text: a document a line."""

from __future__ import annotations

from collections.abc import Iterator

from tokensieve.data.rows import Defect, Row


def read_plain(lines: Iterator[str]) -> Iterator[Row | Defect]:
    """Rows of a text file with one document a line and no labels, lazily.

    A blank line is a record, if an unusable one: whoever lines up the output with the input has to hear of it.
    """
    for number, line in enumerate(lines, start=1):
        yield Row(number, line.removesuffix("\n").removesuffix("\r"))
