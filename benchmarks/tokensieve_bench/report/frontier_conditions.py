"""The notes below the tables of accuracy against speed: what their figures hold for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tokensieve_bench.figures import speedup
from tokensieve_bench.record_files import Record
from tokensieve_bench.report.accuracy import recipe_of
from tokensieve_bench.table import RUNTIMES, alternatives, made_with, rounds_apart, threads_of

Records = Mapping[str, Record]


def conditions(config: dict[str, Any], records: Records, split: str) -> list[str]:
    """The conditions that the figures hold for."""
    runs = [run for record in records.values() for run in record["runs"]]
    counts = ", ".join(
        f"{data} {record['runs'][0]['documents']['train']}/{record['runs'][0]['documents'][split]}"
        for data, record in records.items()
    )
    recipe = ", ".join(f"{name} {value}" for name, value in config["recipe"].items())
    lines = [
        f"- training/{split} documents: {counts}; {recipe}, unless a variant says otherwise; the epoch by validation "
        f"{recipe_of(config)['select']}.",
        "- Means over seeds. Differences are of the same documents and seeds, all sets' documents pooled; the interval "
        "is a bootstrap over documents.",
        f"- {made_with([run['machine'] for run in runs], 'torch', 'transformers')}",
    ]
    if config["recipe"].get("bf16") and (emulated := sorted(_in_float32(records))):
        lines.append(f"- float32, as the processor has no instructions for bfloat16: {', '.join(emulated)}")
    return lines


def speed_conditions(speeds: Records, contenders: Iterable[str]) -> list[str]:
    """The conditions of the speeds, from the benchmarks of all sets."""
    if not speeds:
        return []
    records = list(speeds.values())
    machines, baselines = [record["machine"] for record in records], [record["baseline"] for record in records]
    documents = ", ".join(
        f"{name} {cell['documents']} of {cell['mean_length']:.0f} tokens"
        for name, cell in ((name, record["cells"][0]) for name, record in speeds.items())
    )
    ratios = {
        own: [speedup(record["cells"][0], own, record["baseline"]) for record in records if own in record["contenders"]]
        for own in contenders
        if own not in baselines
    }
    backbone = alternatives(record["config"]["backbone"] for record in records)
    most = alternatives(record["config"]["data"]["max_length"] for record in records)
    cores = alternatives(own["cores"] for own in machines)
    return [
        f"- Speed: {backbone}; documents and their mean length: {documents}, {most} at most",
        f"- {alternatives(record['rounds'] for record in records)} interleaved rounds, medians; ratios are of the same "
        f"round, to {alternatives(map(repr, baselines))}",
        f"- {threads_of(machines)} for all, {cores} cores; {made_with(machines, *RUNTIMES, 'python')}",
        f"- {rounds_apart({own: found for own, found in ratios.items() if found})}",
    ]


def _in_float32(records: Records) -> set[str]:
    """The sets and seeds that were trained without bfloat16."""
    return {
        f"{data} seed {run['seed']}" for data, record in records.items() for run in record["runs"] if not run["bf16"]
    }
