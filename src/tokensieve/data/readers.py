"""From a file or standard input to a stream of checked documents."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal

from tokensieve.data.delimited import read_delimited
from tokensieve.data.documents import Document, Rejection, Tally
from tokensieve.data.lines import read_jsonl, read_plain
from tokensieve.data.parquet import read_parquet, require_pyarrow
from tokensieve.data.rows import Defect, Row, to_document
from tokensieve.data.sources import check_source, name_of, open_lines
from tokensieve.errors import ConfigError, DataError

Policy = Literal["error", "skip"]


def read_documents(
    path: str | Path,
    *,
    text_column: str = "text",
    label_column: str | None = "label",
    policy: Policy = "error",
    tally: Tally | None = None,
    format: str | None = None,
    known_labels: Collection[str] | None = None,
) -> Iterator[Document]:
    """Stream the documents of one file in its order, in memory that does not grow with the file.

    Args:
        path: ``.csv``, ``.tsv``, ``.jsonl``, ``.ndjson`` or ``.txt`` (one document a line, no labels), all also with
            ``.gz``; ``.parquet``; or ``-`` for standard input. Text is UTF-8, with or without a byte order mark.
        text_column: Column, or JSON field, of the text.
        label_column: Column of the label, or None to read without labels. Whole numbers become decimal strings.
        policy: What to do with a record that cannot be used: ``error`` stops at the first, ``skip`` counts it.
        tally: Counts every record; give one to see what was skipped.
        format: ``csv``, ``tsv``, ``jsonl``, ``parquet`` or ``txt`` where the name does not tell; JSONL for ``-``.
        known_labels: Labels allowed; any other makes a record unusable. None allows all.

    Returns:
        An iterator over documents. What can be told from the path is checked at once, the rest while iterating.

    Raises:
        ConfigError: An unknown policy or format.
        DataError: No such file, not a data file, a column that does not exist, the first unusable record under policy
            ``error``, or not one usable record. The message names file, line, value and remedy.
        MissingExtraError: Parquet without pyarrow.
    """
    if policy not in ("error", "skip"):
        raise ConfigError(f"unknown policy {policy!r} for records that cannot be used: use 'error' or 'skip'")
    kind = check_source(path, format)
    if kind == "txt" and label_column is not None:
        raise DataError(f"{name_of(path)}: plain text holds no labels; give CSV, TSV, JSONL or Parquet instead")
    if kind == "parquet":
        require_pyarrow()
    gate = _Gate(name_of(path), "row" if kind == "parquet" else "line", policy, Tally() if tally is None else tally)
    labels = None if known_labels is None else frozenset(known_labels)
    return gate.documents(_rows(path, kind, text_column, label_column), label_column is not None, labels)


def _rows(path: str | Path, kind: str, text_column: str, label_column: str | None) -> Iterator[Row | Defect]:
    if kind == "parquet":
        yield from read_parquet(path, text_column, label_column)
        return
    delimited = kind in ("csv", "tsv")
    with open_lines(path, newline="" if delimited else "\n") as lines:
        if delimited:
            yield from read_delimited(lines, name_of(path), "," if kind == "csv" else "\t", text_column, label_column)
        elif kind == "jsonl":
            yield from read_jsonl(lines, text_column, label_column)
        else:
            yield from read_plain(lines)


class _Gate:
    """Lets usable rows of one source through as documents; counts the others, or stops at the first."""

    def __init__(self, source: str, unit: str, policy: Policy, tally: Tally) -> None:
        self.source = source
        self.unit = unit
        self.policy = policy
        self.tally = tally

    def documents(
        self, rows: Iterator[Row | Defect], labelled: bool, known_labels: Collection[str] | None
    ) -> Iterator[Document]:
        first: Rejection | None = None
        used = False
        for row in rows:
            if isinstance(row, Row):
                checked = to_document(row, self.source, labelled=labelled, known_labels=known_labels)
            else:
                checked = row
            if isinstance(checked, Document):
                used = True
                self.tally.accept()
                yield checked
            else:
                rejection = self._reject(checked)
                first = first or rejection
        if not used:
            self._refuse_nothing(first)

    def _reject(self, defect: Defect) -> Rejection:
        rejection = Rejection(self.source, defect.line, str(defect.reason), defect.detail, self.unit)
        self.tally.reject(rejection)
        if self.policy == "error":
            raise DataError(
                f"{rejection}. Correct the record, or leave out and count all that cannot be used "
                "with --on-bad-rows skip (policy='skip')"
            )
        return rejection

    def _refuse_nothing(self, first: Rejection | None) -> None:
        if first is None:
            raise DataError(f"{self.source} holds no records: give a file with at least one")
        raise DataError(f"{self.source}: not one record can be used; the first one: {first}")
