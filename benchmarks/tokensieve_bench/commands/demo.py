"""`tokensieve demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tokensieve.cli.options import Threads, prepare


def demo_command(
    output: Annotated[Path, typer.Option("--output", help="Folder for the classifiers.")] = Path("build/demo"),
    threads: Threads = None,
) -> None:
    """Train a dense classifier, a cascade and a bag of words on the embedded corpus and compare them: some minutes."""
    prepare(threads, quiet=True)
    from tokensieve_bench.demo import run_demo

    run_demo(output, typer.echo)
