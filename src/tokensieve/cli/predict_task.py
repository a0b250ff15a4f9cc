"""What `tokensieve predict` is asked to do, apart from where the records go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from tokensieve.data import Document, Tally
    from tokensieve.data.folders import Source
    from tokensieve.runtime.classifier import Classifier
    from tokensieve.runtime.predict import OutputFormat


@dataclass(frozen=True, slots=True)
class Task:
    """Input, classifier and records of a run.

    Attributes:
        model: folder or hub name.
        load: options of `tokensieve.load`.
        source: of `read_documents`.
        root: the folder that the files of `source` lie below; None: it is one file, stream or data set.
        format: of the input, where its name does not tell.
        table: columns and delimiter of the input, as options of `read_documents`.
        policy: what becomes of rows that cannot be used.
        kind: format of the records.
        tokens: records name the tokens that survived.
        label_separator: between the labels of a cell.
        quiet: counts are printed as JSON, and no progress bar.
    """

    model: str
    load: dict[str, Any]
    source: Source
    root: Path | None
    format: str | None
    table: dict[str, Any]
    policy: str
    kind: OutputFormat
    tokens: bool
    label_separator: str
    quiet: bool

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold the input; none for a stream."""
        from tokensieve.runtime.fingerprint import input_files

        return input_files(self.source)

    @property
    def form(self) -> dict[str, Any]:
        """How records are written, as `write_predictions` takes it."""
        return {"tokens": self.tokens, "label_separator": self.label_separator, "root": self.root}

    def documents(self, tally: Tally) -> Iterator[Document]:
        """The documents of the input, counted."""
        from tokensieve.data import read_documents

        how: dict[str, Any] = {"label_column": None, "policy": self.policy, "format": self.format, "tally": tally}
        return read_documents(self.source, **self.table, **how)

    def classifier(self, **changes: Any) -> Classifier:
        """The classifier; `changes` go before the options."""
        from tokensieve.runtime.load import load
        from tokensieve.runtime.predict import check_label_cells

        found = load(self.model, **{**self.load, **changes})
        check_label_cells(found, self.kind, self.label_separator)
        return found

    def fingerprint(self, classifier: Classifier) -> dict[str, Any]:
        """What the records follow from. The policy for bad rows is no part: whoever goes on meets them once more."""
        from tokensieve.runtime.fingerprint import fingerprint, format_of

        by_name = self.format or "by the names of the files"
        settings = {
            "--input-format": by_name if isinstance(self.source, tuple) else format_of(self.source, self.format),
            "--output-format": self.kind,
            **{f"--{name.replace('_', '-')}": value for name, value in self.table.items()},
            "--label-separator": self.label_separator,
            "--dtype": classifier.dtype,
            "--tokens": self.tokens,
        }
        return fingerprint(classifier, self.files, settings, self.root)


def source_of(input: str, format: str | None) -> tuple[Source, Path | None]:
    """The source of an input, and the folder that its files lie below, if it is one of data files.

    Raises:
        DataError: as `sole_source` and `files_below`.
    """
    from tokensieve.data.file_tree import files_below
    from tokensieve.data.folders import sole_source

    source = sole_source(input) if format is None else input
    if isinstance(source, str | Path) and Path(source).is_dir():
        return files_below(Path(source)), Path(source)
    return source, None


def report(record: dict[str, Any], lines: list[str], *, as_json: bool, on_stderr: bool) -> None:
    """Print the counts: an object for machines, else lines for people, who see them on stderr."""
    if as_json:
        typer.echo(json.dumps(record, ensure_ascii=False), err=on_stderr)
        return
    for line in lines:
        typer.echo(line, err=True)


def how_read(classifier: Classifier) -> str:
    """Type and batches, for people."""
    budget = classifier.engine.budget
    return f"in {classifier.dtype}, by batches of at most {budget} tokens" if budget else "by a bag of words"
