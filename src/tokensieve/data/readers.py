"""From a file, a data set or standard input to a stream of checked documents."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal

from tokensieve.data.delimited import TAB, check_delimiter, read_delimited
from tokensieve.data.documents import Document, Rejection, Tally
from tokensieve.data.folders import SingleSource, Source, sole_source
from tokensieve.data.huggingface import DatasetSplit
from tokensieve.data.json_files import read_json, read_jsonl
from tokensieve.data.labels import LabelRule
from tokensieve.data.lines import read_plain
from tokensieve.data.parquet import read_parquet, require_pyarrow
from tokensieve.data.rows import Columns, Defect, Row
from tokensieve.data.sources import bounded_lines, check_source, name_of, open_text
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
    delimiter: str | None = None,
) -> Iterator[Document]:
    """Stream the documents of one file or data set in its order, in memory that does not grow with it.

    Args:
        path: ``.csv``, ``.tsv`` (a record a line), ``.jsonl``, ``.ndjson``, ``.json`` (an array of objects, or an
            object a line) or ``.txt`` (one document a line, no labels), all also with ``.gz``; ``.parquet``; or ``-``
            for standard input. Text is UTF-8, with or without a byte order mark.
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
        format: ``csv``, ``tsv``, ``jsonl``, ``json``, ``parquet`` or ``txt`` where the name does not tell; JSONL for
            ``-``.
        known_labels: Labels allowed; any other makes a record unusable. None allows all. A document gets the label as
            it is spelled here, also where the file has space around it, or another spelling of the same number or
            boolean (``1.0`` for ``1``, ``True`` for ``true``).
        delimiter: The character between the columns of a CSV, TSV or text file, which then has a header line: ``;`` or
            ``|``, ``tab`` or a tab. None: by the name, a comma or a tab. With a tab, the rules of TSV hold.

    Returns:
        An iterator over documents. What can be told from the path is checked at once, the rest while iterating.

    Raises:
        ConfigError: An unknown policy or format, a label or pair column that is the text column, an empty separator, or
            a delimiter that cannot be one or is given for a file without columns.
        DataError: No such file, not a data file, a column that does not exist, the first unusable record under policy
            ``error``, or not one usable record. The message names file, line, value and remedy.
        MissingExtraError: Parquet without pyarrow, or a data set without `datasets`.
    """
    if policy not in ("error", "skip"):
        raise ConfigError(f"unknown policy {policy!r} for records that cannot be used: use 'error' or 'skip'")
    if not label_separator:
        raise ConfigError("label_separator is empty: give what divides the labels of a cell, such as '|'")
    delimiter = check_delimiter(delimiter)
    columns = Columns(text_column, label_column, pair_column)
    for role, name in (("label", label_column), ("pair", pair_column)):
        if name == text_column:
            raise ConfigError(f"{role}_column={name!r} is the text column: name the {role} column (--{role}-column)")
    labels = None if known_labels is None else frozenset(known_labels)
    rule = LabelRule(multi_label, label_separator, labels)
    tally = Tally() if tally is None else tally
    parts = path if isinstance(path, tuple) else (path,)
    return _joined([_documents(part, format, delimiter, columns, rule, policy, tally) for part in parts])


def _joined(readings: list[Iterator[Document]]) -> Iterator[Document]:
    # A generator, unlike itertools.chain, closes the file at hand when it is closed.
    for reading in readings:
        yield from reading


def _documents(
    source: SingleSource,
    format: str | None,
    delimiter: str | None,
    columns: Columns,
    rule: LabelRule,
    policy: Policy,
    tally: Tally,
) -> Iterator[Document]:
    """The documents of a single source, which is checked before the first is asked for."""
    if isinstance(source, str | Path) and format is None:
        source = sole_source(source)
    if isinstance(source, DatasetSplit):
        if delimiter is not None:
            raise _no_columns(source, "a data set")
        rows: Iterator[Row | Defect] = source.rows(columns, rule.multi)
    else:
        rows = _file_rows(source, format, delimiter, columns, rule.multi)
    return _Gate(name_of(source), policy, tally).documents(rows, columns, rule)


def takes_delimiter(source: Source, format: str | None = None) -> bool:
    """Whether the columns of a source are divided by a character.

    Raises:
        ConfigError, DataError: as `check_source`.
    """
    first = source[0] if isinstance(source, tuple) else source
    return isinstance(first, str | Path) and check_source(first, format) in ("csv", "tsv", "txt")


def _no_columns(source: SingleSource, kind: str) -> ConfigError:
    return ConfigError(f"delimiter: it is for CSV, TSV and text files; {name_of(source)} is {kind}: leave it out")


def _file_rows(
    path: str | Path, format: str | None, delimiter: str | None, columns: Columns, multi_label: bool
) -> Iterator[Row | Defect]:
    kind = check_source(path, format)
    if delimiter is not None:
        if kind not in ("csv", "tsv", "txt"):
            raise _no_columns(path, kind.upper())
        return _line_rows(path, "csv", delimiter, columns)
    if kind == "parquet":
        require_pyarrow()
        return read_parquet(path, columns, multi_label)
    if kind == "txt" and len(columns.by_role) > 1:
        what = "labels" if columns.label is not None else "text pairs"
        raise DataError(
            f"{name_of(path)}: plain text holds no {what}; give CSV, TSV, JSONL or Parquet instead, or, for a table "
            "with a header line, what divides its columns (--delimiter; train: --set data.delimiter, "
            "Python: delimiter=)"
        )
    return _line_rows(path, kind, TAB if kind == "tsv" else ",", columns)


def _line_rows(path: str | Path, kind: str, delimiter: str, columns: Columns) -> Iterator[Row | Defect]:
    divided, source = kind in ("csv", "tsv"), name_of(path)
    with open_text(path, newline="" if divided else "\n") as text:
        if divided:
            yield from read_delimited(bounded_lines(text, source), source, delimiter, columns)
        elif kind == "json":
            yield from read_json(text, source, columns)
        elif kind == "jsonl":
            yield from read_jsonl(text, source, columns)
        else:
            yield from read_plain(bounded_lines(text, source))


class _Gate:
    """Lets usable rows of one source through as documents; counts the others, or stops at the first."""

    def __init__(self, source: str, policy: Policy, tally: Tally) -> None:
        self.source = source
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
                rejection = self._reject(checked, row.unit)
                first = first or rejection
        if not used:
            self._refuse_nothing(first)

    def _reject(self, defect: Defect, unit: str) -> Rejection:
        rejection = Rejection(self.source, defect.line, str(defect.reason), defect.detail, unit)
        self.tally.reject(rejection)
        if self.policy == "error":
            raise DataError(
                f"{rejection}. Correct the record, or leave out and count all that cannot be used "
                "with --on-bad-rows skip (train: --set data.on_bad_rows=skip, Python: policy='skip')"
            )
        return rejection

    def _refuse_nothing(self, first: Rejection | None) -> None:
        if first is None:
            raise DataError(f"{self.source} holds no records: give a file with at least one")
        raise DataError(f"{self.source}: not one record can be used; the first one: {first}")
