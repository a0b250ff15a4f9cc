"""The tables of results/series: forecast errors beside dense over the tokens that are left, and seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tokensieve_bench.figures import paired
from tokensieve_bench.records import Results
from tokensieve_bench.table import alternatives, made_with, render, threads_of

DENSE = "dense"
LONG = "series/long"
TITLES = {"unmerged": "The head reads all patches, un-merged", "last row": "The head reads the last row alone"}

Record = Mapping[str, Any]
Run = Mapping[str, Any]


def series_tables(results: Results) -> str:
    """A table for each head, then seconds; nothing where nothing was measured."""
    records = {name: own for name, own in results.read_all("series/*").items() if "runs" in own}
    if not records:
        return ""
    parts = ["\n".join([f"## {title}", "", *error_table(records, head)]) for head, title in TITLES.items()]
    parts.append("\n".join(_conditions(records)))
    long = results.read(LONG) if results.has(LONG) else {"cells": []}
    if timed := _timings(records, long):
        parts.append("\n".join(["## Speed", "", *speed_table(timed)]))
    return "\n\n".join(parts)


def error_table(records: Mapping[str, Record], head: str) -> list[str]:
    """A row a reduction; the mean squared error as a multiple of dense's of the same seed, mean and range of seeds."""
    rows = [["tokens leave", "trained with it", "FLOPs of the body", *(f"{name}, error" for name in records)]]
    first = next(iter(records.values()))
    for trained in (False, True):
        for reduction in dict.fromkeys(run["reduction"] for run in first["runs"]):
            told = {name: _runs(own, head, reduction, trained) for name, own in records.items()}
            if reduction == DENSE or not all(told.values()):
                continue
            flops = [run["flops"] for runs in told.values() for run in runs]
            cells = [_ratios(records[name], runs) for name, runs in told.items()]
            rows.append([reduction, "yes" if trained else "no", _span(flops), *cells])
    dense = [_mean(run["mse"] for run in _runs(own, head, DENSE, True)) for own in records.values()]
    rows.insert(1, ["dense: its error", "yes", "1", *(f"{error:.3f}" for error in dense)])
    for name in first["naive"]:
        ratios = [
            f"{own['naive'][name]['mse'] / error:.2f}" for own, error in zip(records.values(), dense, strict=True)
        ]
        rows.append([f"no model: the {name} again", "", "0", *ratios])
    return render(rows, "markdown")


def _timings(records: Mapping[str, Record], long: Record) -> dict[str, Record]:
    """The seconds that there are, by the head of their column: of series, then of random walks."""
    timed = {f"{name}, {own['timing']['tokens']}": own["timing"] for name, own in records.items() if "timing" in own}
    return timed | {f"random, {cell['tokens']}": {**cell, "machine": long["machine"]} for cell in long["cells"]}


def speed_table(timed: Mapping[str, Record]) -> list[str]:
    """Times faster than dense: medians of paired rounds, with the lowest and the highest."""
    rows = [["tokens leave", *(f"{name} tokens" for name in timed)]]
    for reduction in dict.fromkeys(name for own in timed.values() for name in own["seconds"]):
        if reduction != DENSE:
            rows.append([reduction, *(_times(own["seconds"], reduction) for own in timed.values())])
    machines = [own["machine"] for own in timed.values()]
    rounds = alternatives(len(own["seconds"][DENSE]) for own in timed.values())
    notes = [f"- {threads_of(machines)}; {rounds} interleaved rounds; {made_with(machines)}"]
    if counted := [own for own in timed.values() if "flops" in own]:
        tokens, flops = counted[-1]["tokens"], counted[-1]["flops"]
        least = min(flops, key=flops.__getitem__)
        notes.append(
            f"- random: random walks and weights, a value a token; fewest FLOPs at {tokens} tokens: {least}, "
            f"{flops[least]:.2f} of dense"
        )
    return [*render(rows, "markdown"), "", *notes]


def _runs(record: Record, head: str, reduction: str, trained: bool) -> list[Run]:
    wanted = (head, reduction, trained)
    return [run for run in record["runs"] if (run["head"], run["reduction"], run["trained"]) == wanted]


def _ratios(record: Record, runs: Sequence[Run]) -> str:
    """Errors over dense's of the same seed: mean [lowest, highest]."""
    dense = {run["seed"]: run["mse"] for run in _runs(record, runs[0]["head"], DENSE, True)}
    ratios = [run["mse"] / dense[run["seed"]] for run in runs]
    return f"{_mean(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"


def _machines(record: Record) -> list[Mapping[str, Any]]:
    """The machines of all runs; an older record has that of its last run alone."""
    return [*record.get("machines", {}).values(), record["machine"]]


def _times(seconds: Mapping[str, Sequence[float]], reduction: str) -> str:
    if reduction not in seconds:
        return "-"
    ratios = paired(seconds[DENSE], seconds[reduction])
    return f"{ratios.median:.2f} [{ratios.low:.2f}, {ratios.high:.2f}]"


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known)


def _conditions(records: Mapping[str, Record]) -> list[str]:
    first = next(iter(records.values()))
    shape, recipe = first["config"]["shape"], first["config"]["recipe"]
    told = [
        f"{name} (context {own['config']['series']['context']}, patch {own['config']['series']['patch']}, horizon "
        f"{own['config']['series']['horizon']}; {own['windows']['test']} test windows)"
        for name, own in records.items()
    ]
    seeds = sorted({run["seed"] for own in records.values() for run in own["runs"]})
    return [
        f"- {'; '.join(told)}",
        f"- {shape['num_hidden_layers']} layers of width {shape['hidden_size']}, {recipe['steps']} steps of "
        f"{recipe['batch']} windows, seeds {', '.join(map(str, seeds))}. Weights by the error on validation windows.",
        "- Error: mean squared, on the last fifth of the series in time, as a multiple of dense's of the same seed: "
        "mean [lowest, highest] of the seeds. The dense error itself is in units of the training part's variance.",
        f"- {made_with(machine for own in records.values() for machine in _machines(own))}",
    ]
