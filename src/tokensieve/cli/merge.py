"""`tokensieve merge`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tokensieve.cli.signals import terminable

Input = Annotated[str, typer.Option("--input", help="Folder that 'tokensieve predict' wrote with --shard or --ray.")]
Output = Annotated[str, typer.Option("--output", help="A file, also .gz, or - for stdout.")]


def merge_command(input: Input, output: Output = "-") -> None:
    """Join the parts that 'tokensieve predict' wrote with --shard or --ray.

    The result has the bytes of the file that one process would have written. The format is that of the parts. A folder
    that lacks a part is refused.

    Example: tokensieve merge --input labels --output labels.jsonl
    """
    from tokensieve.errors import ConfigError
    from tokensieve.runtime.merge import complete_parts, merge
    from tokensieve.runtime.part import part_file
    from tokensieve.runtime.predict import is_prediction, output_format

    parts = complete_parts(Path(input))
    if output == "-":
        documents = merge(parts, sys.stdout)
        sys.stdout.flush()
    else:
        if output_format(output, None) != parts.format:
            raise ConfigError(f"output {output}: the parts are {parts.format}: end the name in .{parts.format}")
        with terminable(), part_file(Path(output), is_prediction) as out:
            documents = merge(parts, out)
    typer.echo(f"{documents} documents", err=True)
