"""From a file, a data set or standard input to a stream of checked documents."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal

from tokensieve.data.delimited import read_delimited
from tokensieve.data.documents import Document, Rejection, Tally
from tokensieve.data.folders import SingleSource, Source, sole_source
from tokensieve.data.huggingface import DatasetSplit
from tokensieve.data.labels import LabelRule
from tokensieve.data.lines import read_jsonl, read_plain
from tokensieve.data.parquet import read_parquet, require_pyarrow
from tokensieve.data.rows import Columns, Defect, Row
from tokensieve.data.sources import check_source, name_of, open_lines
from tokensieve.data.usable import to_document
from tokensieve.errors import ConfigError, DataError

Policy = Literal["error", "skip"]


def read_documents(
    path: Source,
    *,
    text_column: str = "text",
    label_column: str | None = "label",
    pair_column: str | None = None,
    multi_label: bool = False,
    label_separator: str = "|",
    policy: Policy = "error",
    tally: Tally | None = None,
    format: str | None = None,
    known_labels: Collection[str] | None = None,
) -> Iterator[Document]:
    """Stream the documents of one file or data set in its order, in memory that does not grow with it.

    Args:
        path: ``.csv``, ``.tsv``, ``.jsonl``, ``.ndjson`` or ``.txt`` (one document a line, no labels), all also with
            ``.gz``; ``.parquet``; or ``-`` for standard input. Text is UTF-8, with or without a byte order mark.
            Also a data set of one split, as in `tokensieve.data.huggingface.open_dataset`, or what
            `resolve_split_file` gives for one of several.
        text_column: Column, or JSON field, of the text.
        label_column: Column of the label, or None to read without labels. A label is a string, a whole number or a
            boolean. Space around it is left out; 1 and 1.0 become ``1``, booleans ``true`` and ``false``, class numbers
            of a data set the names of the classes.
        pair_column: Column of a second text that the first is classified together with, or None.
        multi_label: A document has any number of labels: a list of them, or a string that is a JSON list or has
            `label_separator` between them, as in the cells of CSV. An empty list or cell says that none applies. A list
            with a label twice is refused, as it holds something else, such as 0 or 1 for each class.
        label_separator: What divides the labels within a string.
        policy: What to do with a record that cannot be used: ``error`` stops at the first, ``skip`` counts it.
        tally: Counts every record; give one to see what was skipped.
        format: ``csv``, ``tsv``, ``jsonl``, ``parquet`` or ``txt`` where the name does not tell; JSONL for ``-``.
        known_labels: Labels allowed; any other makes a record unusable. None allows all. A document gets the label as
            it is spelled here, also where the file has space around it, or another spelling of the same number or
            boolean (``1.0`` for ``1``, ``True`` for ``true``).

    Returns:
        An iterator over documents. What can be told from the path is checked at once, the rest while iterating.

    Raises:
        ConfigError: An unknown policy or format, or an empty separator.
        DataError: No such file, not a data file, a column that does not exist, the first unusable record under policy
            ``error``, or not one usable record. The message names file, line, value and remedy.
        MissingExtraError: Parquet without pyarrow, or a data set without `datasets`.
    """
    if policy not in ("error", "skip"):
        raise ConfigError(f"unknown policy {policy!r} for records that cannot be used: use 'error' or 'skip'")
    if not label_separator:
        raise ConfigError("label_separator is empty: give what divides the labels of a cell, such as '|'")
    columns = Columns(text_column, label_column, pair_column)
    labels = None if known_labels is None else frozenset(known_labels)
    rule = LabelRule(multi_label, label_separator, labels)
    tally = Tally() if tally is None else tally
    parts = path if isinstance(path, tuple) else (path,)
    return _joined([_documents(part, format, columns, rule, policy, tally) for part in parts])


def _joined(readings: list[Iterator[Document]]) -> Iterator[Document]:
    # A generator, unlike itertools.chain, closes the file at hand when it is closed.
    for reading in readings:
        yield from reading


def _documents(
    source: SingleSource, format: str | None, columns: Columns, rule: LabelRule, policy: Policy, tally: Tally
) -> Iterator[Document]:
    """The documents of a single source, which is checked before the first is asked for."""
    if isinstance(source, str | Path) and format is None:
        source = sole_source(source)
    if isinstance(source, DatasetSplit):
        rows: Iterator[Row | Defect] = source.rows(columns, rule.multi)
        unit = "row"
    else:
        rows, unit = _file_rows(source, format, columns, rule.multi)
    return _Gate(name_of(source), unit, policy, tally).documents(rows, columns, rule)


def _file_rows(
    path: str | Path, format: str | None, columns: Columns, multi_label: bool
) -> tuple[Iterator[Row | Defect], str]:
    """The rows of a file, and what they are called."""
    kind = check_source(path, format)
    if kind == "parquet":
        require_pyarrow()
        return read_parquet(path, columns, multi_label), "row"
    if kind == "txt" and len(columns.by_role) > 1:
        what = "labels" if columns.label is not None else "text pairs"
        raise DataError(f"{name_of(path)}: plain text holds no {what}; give CSV, TSV, JSONL or Parquet instead")
    return _line_rows(path, kind, columns), "line"


def _line_rows(path: str | Path, kind: str, columns: Columns) -> Iterator[Row | Defect]:
    delimited = kind in ("csv", "tsv")
    with open_lines(path, newline="" if delimited else "\n") as lines:
        if delimited:
            yield from read_delimited(lines, name_of(path), "," if kind == "csv" else "\t", columns)
        elif kind == "jsonl":
            yield from read_jsonl(lines, columns)
        else:
            yield from read_plain(lines)


class _Gate:
    """Lets usable rows of one source through as documents; counts the others, or stops at the first."""

    def __init__(self, source: str, unit: str, policy: Policy, tally: Tally) -> None:
        self.source = source
        self.unit = unit
        self.policy = policy
        self.tally = tally

    def documents(self, rows: Iterator[Row | Defect], columns: Columns, rule: LabelRule) -> Iterator[Document]:
        first: Rejection | None = None
        used = False
        for row in rows:
            checked = to_document(row, self.source, columns, rule) if isinstance(row, Row) else row
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
