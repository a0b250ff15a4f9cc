"""`tokensieve explain`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokensieve.cli.options import (
    DATA,
    Delimiter,
    Device,
    Dtype,
    Input,
    InputFormat,
    LabelSeparator,
    MaxLength,
    Model,
    OnBadRows,
    PairColumn,
    TextColumn,
    Threads,
    bar,
    load_classifier,
    prepare,
)
from tokensieve.runtime.budget import BATCH_TOKENS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokensieve.data import Document
    from tokensieve.explain.reading import Explained
    from tokensieve.runtime.classifier import Classifier

Output = Annotated[
    Path | None, typer.Option("--output", help="HTML file to write, also .gz (default: text in the terminal).")
]
Dense = Annotated[
    str | None,
    typer.Option("--dense", help="Another classifier with the same labels, whose answers are put beside."),
]
Check = Annotated[
    bool,
    typer.Option("--check", help="Read each document once more without the words that left: does the label stand?"),
]
Gradient = Annotated[
    bool,
    typer.Option(
        "--gradient",
        help="Mark words by the exact gradient, which takes a second pass: their score is its norm, as a multiple of "
        "the document's mean. Tells how many of the survivors are among the words with the largest one.",
    ),
]
TrueLabels = Annotated[
    str | None,
    typer.Option(
        "--label-column",
        help="Column of the true label, for a confusion matrix and a calibration curve (default: read none).",
        rich_help_panel=DATA,
    ),
]
Most = Annotated[
    int,
    typer.Option(
        "--max-documents",
        help="At most so many documents: with --label-column each label in its share, else the first ones.",
        rich_help_panel=DATA,
    ),
]


def explain_command(
    model: Model,
    input: Input = "-",
    output: Output = None,
    dense: Dense = None,
    check: Check = False,
    gradient: Gradient = False,
    text_column: TextColumn = "text",
    pair_column: PairColumn = None,
    label_column: TrueLabels = None,
    label_separator: LabelSeparator = "|",
    delimiter: Delimiter = None,
    input_format: InputFormat = None,
    on_bad_rows: OnBadRows = "error",
    max_documents: Most = 200,
    max_length: MaxLength = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    threads: Threads = None,
) -> None:
    """Show what a classifier read: in which layer each word of each document left, and which words survived.

    The page is one HTML file that needs no network. Kept words are not the cause of an answer: --check tells whether
    the label stands without the words that left.

    Example: tokensieve explain --model news-classifier --input mail.jsonl --output read.html --check
    """
    prepare(threads, quiet=False)
    from tokensieve.data import Tally, read_documents
    from tokensieve.data.folders import sole_source
    from tokensieve.errors import ConfigError
    from tokensieve.explain.page import is_page
    from tokensieve.explain.reading import check_same_labels, explain
    from tokensieve.runtime.fingerprint import input_files
    from tokensieve.runtime.resume import check_output

    if max_documents < 1:
        raise ConfigError(f"max_documents={max_documents}: give 1 or more")
    source = sole_source(input) if input_format is None else input
    if output is not None:
        check_output(input_files(source), str(output), is_page)
    classifier = load_classifier(model, device, dtype, max_length, str(BATCH_TOKENS), False)
    beside = None if dense is None else load_classifier(dense, device, dtype, None, str(BATCH_TOKENS), False)
    if beside is not None:
        check_same_labels(classifier, beside)
    tally = Tally()
    reading: dict[str, Any] = {
        "text_column": text_column,
        "pair_column": pair_column,
        "label_column": label_column,
        "multi_label": classifier.model.config.is_multi_label,
        "label_separator": label_separator,
        "known_labels": None if label_column is None else classifier.labels,
        "delimiter": delimiter,
        "format": input_format,
        "policy": on_bad_rows,
    }
    documents, notes = _documents(read_documents(source, **reading, tally=tally), label_column, max_documents)
    ways: dict[str, Any] = {"dense": beside, "check": check, "gradient": gradient}
    found = explain(classifier, documents, **ways, progress=bar(len(documents), "explaining", output is None))
    if tally.rejected:
        notes.append(f"{tally.rejected} of {tally.read} rows were left out, as they cannot be used")
    about = _about(model, classifier, dense, beside, input, notes)
    _write(output, found, about)
    for line in [*notes, *(tally.summary() if tally.rejected else []), *_hints(model, classifier, dense, output)]:
        typer.echo(line, err=True)


def _documents(read: Any, label_column: str | None, most: int) -> tuple[Sequence[Document], list[str]]:
    """The documents that are explained, and what is to be said of those that are not."""
    from tokensieve.data.sampling import sample_by_label

    if label_column is None:
        documents = list(islice(read, most + 1))
        if hasattr(read, "close"):
            read.close()
        more = len(documents) > most
        return documents[:most], [f"These are the first {most} documents of the input"] if more else []
    every = list(read)
    documents = list(sample_by_label(every, most)) if len(every) > most else every
    note = f"These are {len(documents)} of {len(every)} documents, each label in its share"
    return documents, [note] if len(every) > most else []


def _about(
    model: str, classifier: Classifier, dense: str | None, beside: Classifier | None, input: str, notes: list[str]
) -> dict[str, Any]:
    """What the page tells of the run; of paths the last part alone, as a page is handed on."""
    return {
        "model": Path(model).resolve().name,
        "labels": classifier.labels,
        "dense": None if dense is None else Path(dense).resolve().name,
        "dense_labels": () if beside is None else beside.labels,
        "input": "standard input" if input == "-" else Path(input).name,
        "notes": notes,
    }


def _write(output: Path | None, found: Sequence[Explained], about: dict[str, Any]) -> None:
    """Write the page, or the text to the terminal."""
    import sys

    from tokensieve.explain.page import is_page, write_page
    from tokensieve.explain.terminal import lines
    from tokensieve.runtime.part import part_file

    if output is None:
        for line in lines(found, about, styled=sys.stdout.isatty()):
            typer.echo(line)
        return
    with part_file(output, is_page) as out:
        write_page(out, found, about)


def _hints(model: str, classifier: Classifier, dense: str | None, output: Path | None) -> list[str]:
    beside = f"{model.rstrip('/')}.dense"
    hints = []
    if dense is None and Path(beside).is_dir():
        hints.append(f"a dense classifier lies beside the model: --dense {beside} puts its answers beside")
    if output is not None:
        hints.append(f"written to {output}")
    return hints
