"""`tokensieve predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tokensieve.cli.options import (
    DATA,
    BatchTokens,
    Delimiter,
    Device,
    Dtype,
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
    load_options,
    prepare,
)
from tokensieve.cli.predict_parts import check_parts, predict_parts, spread_of
from tokensieve.cli.predict_task import Task, how_read, report, source_of
from tokensieve.cli.signals import terminable
from tokensieve.runtime.budget import BATCH_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokensieve.data import Document
    from tokensieve.runtime.classifier import Classifier

MACHINES = "Several processes and machines"

Input = Annotated[
    str,
    typer.Option(
        "--input",
        help="CSV, TSV, JSONL, JSON, TXT (a document a line; all also .gz), Parquet, a folder of these; - for stdin.",
    ),
]
Output = Annotated[
    str,
    typer.Option(
        "--output", help=".jsonl or .csv file (also .gz), or - for stdout; with --shard and --ray a folder of parts."
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        help="Make part I of N of the output, such as 1/4. Start N such commands, on any machines, with one --output.",
        metavar="I/N",
        rich_help_panel=MACHINES,
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        help="Spread the work over a Ray cluster: its HOST:PORT, auto, or local for one on this machine.",
        metavar="ADDRESS|local",
        rich_help_panel=MACHINES,
    ),
]
Workers = Annotated[
    str | None,
    typer.Option(
        "--workers",
        help="Ray workers, each with --threads CPUs (1); 2:0.5 gives each half a GPU (default: as many as fit).",
        metavar="N|N:GPUS",
        rich_help_panel=MACHINES,
    ),
]
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
    shard: ShardOption = None,
    ray: Ray = None,
    workers: Workers = None,
    json: CountsAsJson = False,
) -> None:
    """Classify a stream of documents, in order: label (or labels) and probability of every class.

    The input may be larger than memory. A file is written as OUTPUT.part and takes its name when all is done; a record
    names the line of the input it belongs to, so that rows left out by --on-bad-rows skip leave no doubt. If the run is
    cut off, however abruptly, --resume with the same options makes the file that it would have made; at most the last
    1024 documents are classified again. Reading and tokenizing go on in a thread while the model is at work.

    The input may be a folder: all data files below it, in the order of their paths. Records then name the file, too.
    With --shard or --ray several processes write a folder of parts, which 'tokensieve merge' joins. The same command
    goes on after a run that was cut off, and does nothing when all parts are there.

    Example: zcat mail.jsonl.gz | tokensieve predict --model mail-classifier --output labels.csv
    """
    prepare(threads, quiet=json)
    from tokensieve.runtime.predict import output_format as resolve_output_format

    spread = spread_of(shard, ray, workers, threads)
    kind = resolve_output_format("-" if spread is not None else output, output_format)
    source, root = source_of(input, input_format)
    task = Task(
        model=model,
        load=load_options(device, dtype, max_length, batch_tokens, offload_embeddings, speed, keep),
        source=source,
        root=root,
        format=input_format,
        table={"text_column": text_column, "pair_column": pair_column, "delimiter": delimiter},
        policy=on_bad_rows,
        kind=kind,
        tokens=tokens,
        label_separator=label_separator,
        quiet=json,
    )
    if spread is not None:
        check_parts(task, output, restart)
        predict_parts(task, output, spread)
    else:
        _predict_file(task, output, resume, restart)


def _predict_file(task: Task, output: str, resume: bool, restart: bool) -> None:
    """Write one file, or to a stream, and print the counts."""
    from tokensieve.data import Tally
    from tokensieve.runtime.predict import is_prediction
    from tokensieve.runtime.resume import check_output, check_resume

    check_output(task.files, output, is_prediction)
    check_resume(task.files, output, resume=resume, restart=restart)
    tally = Tally()
    documents = task.documents(tally)
    classifier = task.classifier()
    with terminable():
        written, truncated = _write(task, classifier, documents, output, resume)
    record = {
        "written": written,
        "truncated": truncated,
        "batch_tokens": classifier.engine.budget,
        "dtype": classifier.dtype,
        "rows": tally.to_dict(),
    }
    lines = [*tally.summary(), f"{written} documents classified, {truncated} truncated; {how_read(classifier)}"]
    report(record, lines, as_json=task.quiet, on_stderr=output == "-")


def _write(
    task: Task, classifier: Classifier, documents: Iterator[Document], output: str, resume: bool
) -> tuple[int, int]:
    """Write the records to where they go; how many there are in all, and how many documents were truncated."""
    from tokensieve.runtime.part import is_stream, part_file
    from tokensieve.runtime.predict import is_prediction, write_predictions, write_resumable
    from tokensieve.runtime.resume import resumable_part

    how = {**task.form, "progress": bar(None, "classifying", task.quiet)}
    if output == "-":
        written = write_predictions(classifier, documents, sys.stdout, task.kind, **how)
        sys.stdout.flush()
    elif not task.files or is_stream(output):
        with part_file(Path(output), is_prediction) as out:
            written = write_predictions(classifier, documents, out, task.kind, **how)
    else:
        with resumable_part(Path(output), task.fingerprint(classifier), resume=resume) as part:
            write_resumable(classifier, documents, part, task.kind, **how)
        return part.state.documents, part.state.truncated
    return written, classifier.engine.truncated
