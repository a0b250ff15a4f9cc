"""The tables of results/series: forecast errors beside dense over the tokens that are left, and seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from tokensieve_bench.records import Results
from tokensieve_bench.table import render

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
    if results.has(LONG):
        parts.append("\n".join(["## Speed", "", *speed_table(records, results.read(LONG))]))
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


def speed_table(records: Mapping[str, Record], long: Record) -> list[str]:
    """Times faster than dense: medians of paired rounds, with the lowest and the highest."""
    timed = {f"{name}, {own['timing']['tokens']}": own["timing"] for name, own in records.items() if "timing" in own}
    timed |= {f"random, {cell['tokens']}": cell for cell in long["cells"]}
    rows = [["tokens leave", *(f"{name} tokens" for name in timed)]]
    for reduction in next(iter(timed.values()))["seconds"]:
        if reduction != DENSE:
            rows.append([reduction, *(_times(own["seconds"], reduction) for own in timed.values())])
    machine, cells = long["machine"], long["cells"]
    flops = {name: [cell["flops"][name] for cell in cells] for name in cells[0]["flops"]}
    rounds = len(cells[0]["seconds"][DENSE])
    least = min(flops, key=lambda name: flops[name][-1])
    return [
        *render(rows, "markdown"),
        "",
        f"- {machine['threads']} threads of {machine['processor']}; {rounds} interleaved rounds",
        f"- random: random walks and weights, a value a token; fewest FLOPs at {cells[-1]['tokens']} tokens: {least}, "
        f"{flops[least][-1]:.2f} of dense",
    ]


def _runs(record: Record, head: str, reduction: str, trained: bool) -> list[Run]:
    wanted = (head, reduction, trained)
    return [run for run in record["runs"] if (run["head"], run["reduction"], run["trained"]) == wanted]


def _ratios(record: Record, runs: Sequence[Run]) -> str:
    """Errors over dense's of the same seed: mean [lowest, highest]."""
    dense = {run["seed"]: run["mse"] for run in _runs(record, runs[0]["head"], DENSE, True)}
    ratios = [run["mse"] / dense[run["seed"]] for run in runs]
    return f"{_mean(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"


def _times(seconds: Mapping[str, Sequence[float]], reduction: str) -> str:
    ratios = sorted(dense / own for dense, own in zip(seconds[DENSE], seconds[reduction], strict=True))
    return f"{median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"


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
    seeds = sorted({run["seed"] for run in first["runs"]})
    return [
        f"- {'; '.join(told)}",
        f"- {shape['num_hidden_layers']} layers of width {shape['hidden_size']}, {recipe['steps']} steps of "
        f"{recipe['batch']} windows, seeds {', '.join(map(str, seeds))}. Weights by the error on validation windows.",
        "- Error: mean squared, on the last fifth of the series in time, as a multiple of dense's of the same seed: "
        "mean [lowest, highest] of the seeds. The dense error itself is in units of the training part's variance.",
        f"- commit {first['machine']['commit'][:10]}, {first['machine']['processor']}",
    ]
