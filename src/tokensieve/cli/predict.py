"""`tokensieve predict`."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import Annotated

import typer

from tokensieve.cli.options import (
    DATA,
    BatchTokens,
    Device,
    Dtype,
    MaxLength,
    Model,
    OnBadRows,
    PairColumn,
    TextColumn,
    Threads,
    bar,
    prepare,
)
from tokensieve.runtime.engine import BATCH_TOKENS


def predict_command(
    model: Model,
    input: Annotated[
        str,
        typer.Option("--input", help="CSV, TSV, JSONL, TXT (a document a line; all also .gz), Parquet; - for stdin."),
    ] = "-",
    output: Annotated[str, typer.Option("--output", help=".jsonl or .csv file (also .gz), or - for stdout.")] = "-",
    tokens: Annotated[bool, typer.Option("--tokens", help="Add the tokens that survived pruning.")] = False,
    input_format: Annotated[
        str | None,
        typer.Option(
            help="csv, tsv, jsonl, txt or parquet where the name does not tell; stdin is jsonl.", rich_help_panel=DATA
        ),
    ] = None,
    output_format: Annotated[
        str | None,
        typer.Option(help="jsonl or csv where the name does not tell; stdout is jsonl.", rich_help_panel=DATA),
    ] = None,
    text_column: TextColumn = "text",
    pair_column: PairColumn = None,
    on_bad_rows: OnBadRows = "error",
    max_length: MaxLength = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    threads: Threads = None,
    batch_tokens: BatchTokens = BATCH_TOKENS,
    json: Annotated[
        bool, typer.Option("--json", help="Print the counts as one JSON object (on stderr if records go to stdout).")
    ] = False,
) -> None:
    """Classify a stream of documents, in order: label (or labels) and probability of every class.

    The input may be larger than memory. A file is written as OUTPUT.part and takes its name when all is done; a record
    names the line of the input it belongs to, so that rows left out by --on-bad-rows skip leave no doubt.

    Example: zcat mail.jsonl.gz | tokensieve predict --model mail-classifier --output labels.csv
    """
    prepare(threads, quiet=json)
    from tokensieve.data import Tally, read_documents
    from tokensieve.runtime.load import load
    from tokensieve.runtime.predict import output_format as resolve_output_format
    from tokensieve.runtime.predict import part_file, write_predictions

    kind = resolve_output_format(output, output_format)
    tally = Tally()
    documents = read_documents(
        input,
        text_column=text_column,
        label_column=None,
        pair_column=pair_column,
        policy=on_bad_rows,
        tally=tally,
        format=input_format,
    )
    classifier = load(model, device=device, dtype=dtype, max_length=max_length, batch_tokens=batch_tokens)
    progress = bar(None, "classifying", json)
    if output == "-":
        written = write_predictions(classifier, documents, sys.stdout, kind, tokens=tokens, progress=progress)
        sys.stdout.flush()
    else:
        with part_file(Path(output)) as out:
            written = write_predictions(classifier, documents, out, kind, tokens=tokens, progress=progress)
    truncated = classifier.engine.truncated
    if json:
        record = {"written": written, "truncated": truncated, "rows": tally.to_dict()}
        typer.echo(json_module.dumps(record, ensure_ascii=False), err=output == "-")
        return
    for line in [*tally.summary(), f"{written} documents classified, {truncated} truncated"]:
        typer.echo(line, err=True)
