"""`tokensieve bench`."""

from __future__ import annotations

import dataclasses
import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tokensieve.cli.options import Json, Threads, emit, prepare

if TYPE_CHECKING:
    from tokensieve_bench.config import BenchConfig


def bench_command(
    config: Annotated[
        Path, typer.Argument(help="JSON file that says what is measured, such as benchmarks/configs/bench/*.json.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="JSON file of raw figures (default: results/bench/NAME.json after the config's name; with --only, or "
            "with fewer rounds than the config's, build/bench/NAME.json, so that a part does not take the place of the "
            "whole).",
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder that holds the data sets which the config names.")
    ] = None,
    rounds: Annotated[int | None, typer.Option("--rounds", help="Rounds that count, in place of the config's.")] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Measure this contender and the baseline; may be given again.")
    ] = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Measure speed, latency, training steps or memory of several models on the same documents, in interleaved rounds.

    Writes raw figures of every round as JSON, and prints the table that follows from them. The machine should have
    nothing else to do. What each figure means: docs/explanation/fair-benchmarks.md.

    Example: tokensieve bench benchmarks/configs/bench/base-512.json --threads 2
    """
    prepare(threads, quiet=json)
    import torch

    from tokensieve.runtime.part import part_file
    from tokensieve_bench.reading import read_config
    from tokensieve_bench.run import IS_RECORD, run_bench
    from tokensieve_bench.table import bars_table, best_table, conditions, figure_table

    whole, record = read_config(config)
    benchmark = _changed(whole, rounds, only)
    place = _place(config, output, bool(only) or benchmark.rounds < whole.rounds)
    result = run_bench(benchmark, record, config.stem, data=data, threads=torch.get_num_threads())
    with part_file(place, IS_RECORD) as out:
        json_module.dump(result, out, indent=1)
        out.write("\n")
    tables = (figure_table(result), conditions(result), best_table(result), bars_table([result]))
    emit(result, [*(line for table in tables if table for line in (*table, "")), f"raw figures: {place}"], json)


def _changed(benchmark: BenchConfig, rounds: int | None, only: list[str] | None) -> BenchConfig:
    if only:
        benchmark = benchmark.only(tuple(only))
    return benchmark if rounds is None else dataclasses.replace(benchmark, rounds=rounds)


def _place(config: Path, output: Path | None, part: bool) -> Path:
    """The path of the record, checked before hours are spent on it.

    Raises:
        ConfigError: a folder, a file in one that does not exist or cannot be made, the config itself, or another file
            that is no record of a benchmark.
    """
    from tokensieve.errors import ConfigError
    from tokensieve.runtime.part import check_part, check_replaceable, output_place, part_name
    from tokensieve_bench.run import IS_RECORD

    if output is None:
        output = Path("build" if part else "results") / "bench" / f"{config.stem}.json"
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{output.parent} cannot be made ({error.strerror}): name a file by --output") from error
    if output_place(output) == config.resolve():
        raise ConfigError(f"output {output} is the config: name another file")
    check_replaceable(output, IS_RECORD)
    check_part(part_name(output_place(output)))
    return output
