"""`tokensieve report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tokensieve.cli.evaluate import labelled_documents
from tokensieve.cli.options import (
    DATA,
    Delimiter,
    Device,
    LabelColumn,
    LabelSeparator,
    Model,
    OnBadRows,
    PairColumn,
    TextColumn,
    Threads,
    load_classifier,
    prepare,
)
from tokensieve.runtime.budget import BATCH_TOKENS

Output = Annotated[Path, typer.Option("--output", help="HTML file to write, also .gz.")]
Data = Annotated[
    str | None,
    typer.Option("--data", help="Labelled file, folder or data set, whose errors are shown (default: none)."),
]
Split = Annotated[str, typer.Option("--split", help="Which split of a folder or data set.", rich_help_panel=DATA)]
Most = Annotated[int, typer.Option("--max-errors", help="At most so many errors.", rich_help_panel=DATA)]


def report_command(
    model: Model,
    output: Output = Path("report.html"),
    data: Data = None,
    split: Split = "test",
    max_errors: Most = 50,
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    pair_column: PairColumn = None,
    label_separator: LabelSeparator = "|",
    delimiter: Delimiter = None,
    on_bad_rows: OnBadRows = "error",
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Write the run that made a classifier as a page: scores, curves, floors, tokens, settings.

    The page is one HTML file that needs no network. With --data it also shows the errors on these documents, the surest
    ones first.

    Example: tokensieve report --model news-classifier --output run.html --data news/test.csv
    """
    prepare(threads, quiet=True)
    from tokensieve.data import Tally
    from tokensieve.data.folders import resolve_split_file
    from tokensieve.errors import ConfigError
    from tokensieve.explain.errors import errors_of
    from tokensieve.explain.page import is_page
    from tokensieve.explain.run import errors_section, read_run, write_report
    from tokensieve.runtime.fingerprint import input_files
    from tokensieve.runtime.part import part_file
    from tokensieve.runtime.resume import check_output

    if max_errors < 1:
        raise ConfigError(f"max_errors={max_errors}: give 1 or more")
    source = None if data is None else resolve_split_file(data, split, tables=delimiter is not None)
    parts = () if source is None else source if isinstance(source, tuple) else (source,)
    check_output([file for part in parts for file in input_files(part)], str(output), is_page)
    record, errors = read_run(model), None
    if data is not None:
        classifier = load_classifier(model, device, "float32", None, str(BATCH_TOKENS), False)
        reading: dict[str, Any] = {
            "text_column": text_column,
            "label_column": label_column,
            "pair_column": pair_column,
            "multi_label": classifier.model.config.is_multi_label,
            "label_separator": label_separator,
            "delimiter": delimiter,
            "policy": on_bad_rows,
            "known_labels": classifier.labels,
        }
        documents = labelled_documents(data, split, reading, Tally())
        found = errors_of(classifier, documents)
        errors = errors_section(found, len(documents), Path(data).name, max_errors)
    with part_file(output, is_page) as out:
        write_report(out, model, record, errors)
    typer.echo(f"written to {output}", err=True)
