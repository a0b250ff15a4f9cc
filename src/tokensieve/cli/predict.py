"""`tokensieve predict`."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokensieve.cli.options import (
    DATA,
    BatchTokens,
    Delimiter,
    Device,
    Dtype,
    Input,
    InputFormat,
    KeptShare,
    MaxLength,
    Model,
    OffloadEmbeddings,
    OnBadRows,
    PairColumn,
    Speed,
    TextColumn,
    Threads,
    bar,
    load_classifier,
    prepare,
)
from tokensieve.cli.signals import terminable
from tokensieve.runtime.budget import BATCH_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokensieve.data import Document, Tally
    from tokensieve.runtime.classifier import Classifier


Output = Annotated[str, typer.Option("--output", help=".jsonl or .csv file (also .gz), or - for stdout.")]
Tokens = Annotated[bool, typer.Option("--tokens", help="Add the tokens that survived pruning.")]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue a run that was cut off, with the same input, model and options; begin one if there is none. "
        "--on-bad-rows may differ. So may --device, --threads, --batch-tokens and --offload-embeddings: probabilities "
        "may then differ in their last digits; with --batch-tokens auto the first choice stays.",
    ),
]
Restart = Annotated[
    bool, typer.Option("--restart", help="Throw away what a run that was cut off has left, and begin again.")
]
OutputFormat = Annotated[
    str | None,
    typer.Option(
        "--output-format", help="jsonl or csv where the name does not tell; stdout is jsonl.", rich_help_panel=DATA
    ),
]
LabelSeparator = Annotated[
    str,
    typer.Option(
        "--label-separator", help="What stands between several labels in a cell of CSV output.", rich_help_panel=DATA
    ),
]
CountsAsJson = Annotated[
    bool, typer.Option("--json", help="Print the counts as one JSON object (on stderr if records go to stdout).")
]


def predict_command(
    model: Model,
    input: Input = "-",
    output: Output = "-",
    tokens: Tokens = False,
    resume: Resume = False,
    restart: Restart = False,
    input_format: InputFormat = None,
    output_format: OutputFormat = None,
    text_column: TextColumn = "text",
    pair_column: PairColumn = None,
    delimiter: Delimiter = None,
    label_separator: LabelSeparator = "|",
    on_bad_rows: OnBadRows = "error",
    max_length: MaxLength = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    speed: Speed = None,
    keep: KeptShare = None,
    threads: Threads = None,
    batch_tokens: BatchTokens = str(BATCH_TOKENS),
    offload_embeddings: OffloadEmbeddings = False,
    json: CountsAsJson = False,
) -> None:
    """Classify a stream of documents, in order: label (or labels) and probability of every class.

    The input may be larger than memory. A file is written as OUTPUT.part and takes its name when all is done; a record
    names the line of the input it belongs to, so that rows left out by --on-bad-rows skip leave no doubt. If the run is
    cut off, however abruptly, --resume with the same options makes the file that it would have made; at most the last
    1024 documents are classified again. Reading and tokenizing go on in a thread while the model is at work.

    Example: zcat mail.jsonl.gz | tokensieve predict --model mail-classifier --output labels.csv
    """
    prepare(threads, quiet=json)
    from tokensieve.data import Tally, read_documents
    from tokensieve.data.folders import sole_source
    from tokensieve.runtime.fingerprint import format_of, input_files
    from tokensieve.runtime.predict import is_prediction
    from tokensieve.runtime.predict import output_format as resolve_output_format
    from tokensieve.runtime.resume import check_output, check_resume

    kind = resolve_output_format(output, output_format)
    source = sole_source(input) if input_format is None else input
    files = input_files(source)
    check_output(files, output, is_prediction)
    check_resume(files, output, resume=resume, restart=restart)
    tally = Tally()
    table: dict[str, Any] = {"text_column": text_column, "pair_column": pair_column, "delimiter": delimiter}
    how: dict[str, Any] = {"label_column": None, "policy": on_bad_rows, "format": input_format}
    documents = read_documents(source, **table, **how, tally=tally)
    classifier = load_classifier(model, device, dtype, max_length, batch_tokens, offload_embeddings, speed, keep)
    settings = {  # what a record depends on; a resumed run meets the bad rows once more
        "--input-format": format_of(source, input_format),
        "--output-format": kind,
        **{f"--{name.replace('_', '-')}": value for name, value in table.items()},
        "--label-separator": label_separator,
        "--dtype": classifier.dtype,
        "--tokens": tokens,
    }
    with terminable():
        written, truncated = _write(classifier, documents, files, output, settings, resume, quiet=json)
    _report(classifier, tally, written, truncated, as_json=json, on_stderr=output == "-")


def _report(
    classifier: Classifier, tally: Tally, written: int, truncated: int, *, as_json: bool, on_stderr: bool
) -> None:
    """Print the counts: an object for machines, else lines for people, who see them on stderr."""
    if as_json:
        record = {
            "written": written,
            "truncated": truncated,
            "batch_tokens": classifier.engine.budget,
            "dtype": classifier.dtype,
            "rows": tally.to_dict(),
        }
        typer.echo(json_module.dumps(record, ensure_ascii=False), err=on_stderr)
        return
    budget = classifier.engine.budget
    how = f"in {classifier.dtype}, by batches of at most {budget} tokens" if budget else "by a bag of words"
    for line in [*tally.summary(), f"{written} documents classified, {truncated} truncated; {how}"]:
        typer.echo(line, err=True)


def _write(
    classifier: Classifier,
    documents: Iterable[Document],
    files: tuple[Path, ...],
    output: str,
    settings: dict[str, Any],
    resume: bool,
    quiet: bool,
) -> tuple[int, int]:
    """Write the records to where they go; how many there are in all, and how many documents were truncated."""
    from tokensieve.runtime.fingerprint import fingerprint
    from tokensieve.runtime.part import is_stream, part_file
    from tokensieve.runtime.predict import check_label_cells, is_prediction, write_predictions, write_resumable
    from tokensieve.runtime.resume import resumable_part

    kind = settings["--output-format"]
    progress = bar(None, "classifying", quiet)
    how = {"tokens": settings["--tokens"], "label_separator": settings["--label-separator"], "progress": progress}
    check_label_cells(classifier, kind, how["label_separator"])
    if output == "-":
        written = write_predictions(classifier, documents, sys.stdout, kind, **how)
        sys.stdout.flush()
    elif not files or is_stream(output):
        with part_file(Path(output), is_prediction) as out:
            written = write_predictions(classifier, documents, out, kind, **how)
    else:
        expected = fingerprint(classifier, files, settings)
        with resumable_part(Path(output), expected, resume=resume) as part:
            write_resumable(classifier, documents, part, kind, **how)
        return part.state.documents, part.state.truncated
    return written, classifier.engine.truncated
