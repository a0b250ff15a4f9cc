"""`tokensieve encode`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokensieve.cli.options import (
    Assignments,
    BatchTokens,
    Delimiter,
    Device,
    InputFormat,
    MaxLength,
    OnBadRows,
    PairColumn,
    Preset,
    TextColumn,
    Threads,
    bar,
    number_or_word,
    prepare,
)
from tokensieve.cli.settings import given_options, info_settings
from tokensieve.cli.signals import terminable
from tokensieve.runtime.budget import BATCH_TOKENS

if TYPE_CHECKING:
    from tokensieve.config import ReductionConfig

Checkpoint = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Folder or hub name of a checkpoint, or of a float32 classifier of ours (default: all-MiniLM-L6-v2).",
    ),
]
Texts = Annotated[
    str,
    typer.Option(
        "--data",
        "--input",
        help="CSV, TSV, JSONL, JSON, TXT (a document a line; all also .gz), Parquet; - for stdin.",
    ),
]
Output = Annotated[str, typer.Option("--output", help="File to make: .parquet (line and vector) or .npy (vectors).")]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="JSON file of reduction settings, such as 'tokensieve tune --tasks' writes."),
]
Normalize = Annotated[bool, typer.Option("--normalize/--no-normalize", help="Scale each vector to length 1.")]
Dtype = Annotated[str, typer.Option("--dtype", help="Weights and activations: float32, bfloat16, float16 or auto.")]
CountsAsJson = Annotated[bool, typer.Option("--json", help="Print the counts as one JSON object.")]


def encode_command(
    context: typer.Context,
    output: Output,
    data: Texts = "-",
    model: Checkpoint = None,
    preset: Preset = None,
    config: Config = None,
    assignments: Assignments = None,
    normalize: Normalize = True,
    input_format: InputFormat = None,
    text_column: TextColumn = "text",
    pair_column: PairColumn = None,
    delimiter: Delimiter = None,
    on_bad_rows: OnBadRows = "error",
    max_length: MaxLength = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    threads: Threads = None,
    batch_tokens: BatchTokens = str(BATCH_TOKENS),
    json: CountsAsJson = False,
) -> None:
    """Turn a stream of texts into vectors, in order: the mean of the tokens that are left. Nothing is trained.

    The input may be larger than memory. A file is written as OUTPUT.part and takes its name when all is done.

    Example: tokensieve encode --data utterances.csv --config few-shot.json --output vectors.parquet
    """
    asked = info_settings(given_options(context), assignments, config)
    prepare(threads, quiet=json)
    from tokensieve.data import Tally, read_documents
    from tokensieve.data.folders import sole_source
    from tokensieve.runtime.fingerprint import input_files
    from tokensieve.runtime.resume import check_output
    from tokensieve.runtime.sentences import load_encoder
    from tokensieve.runtime.vectors import is_vectors, vector_format, write_vectors

    source = sole_source(data) if input_format is None else data
    vector_format(output)
    check_output(input_files(source), output, is_vectors)
    tally = Tally()
    table: dict[str, Any] = {"text_column": text_column, "pair_column": pair_column, "delimiter": delimiter}
    how: dict[str, Any] = {"label_column": None, "policy": on_bad_rows, "format": input_format}
    documents = read_documents(source, **table, **how, tally=tally)
    settings = _settings_of(model, asked) if asked else None
    options: dict[str, Any] = {"max_length": max_length, "batch_tokens": number_or_word(batch_tokens)}
    encoder = load_encoder(model, settings, device=device, dtype=dtype, **options)
    progress = bar(None, "encoding", json)
    with terminable():
        written = write_vectors(encoder, documents, Path(output), normalize=normalize, progress=progress)
    record = {"written": written, "truncated": encoder.engine.truncated, "dtype": encoder.dtype}
    record |= {"dimensions": encoder.model.config.hidden_size, "settings": encoder.settings.to_dict()}
    if json:
        typer.echo(json_module.dumps({**record, "rows": tally.to_dict()}, ensure_ascii=False))
        return
    done = f"{written} documents encoded, {record['truncated']} truncated; {record['dimensions']} dimensions"
    for line in [*tally.summary(), f"{done}, in {output}"]:
        typer.echo(line, err=True)


def _settings_of(model: str | None, asked: Any) -> ReductionConfig:
    """The settings that options, --set and --config ask for; they change a checkpoint's own, or those of `dense`."""
    from tokensieve.backbones.loading import load_config
    from tokensieve.backbones.source import source_config
    from tokensieve.config import ReductionConfig
    from tokensieve.model.configuration import TokensieveConfig
    from tokensieve.training.settings import base_checkpoint

    base = base_checkpoint(model)
    raw = load_config(base)
    config = source_config(raw, base)
    if not isinstance(raw, TokensieveConfig):
        config.reduction = ReductionConfig.preset("dense").to_dict()
    return asked.settings(config)  # type: ignore[no-any-return]
