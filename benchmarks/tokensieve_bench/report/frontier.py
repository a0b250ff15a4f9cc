"""Accuracy over several data sets, and beside it speed and memory: tables and a picture for `pages.py`.

A results folder (`records.py`) has accuracy in accuracy/<name>-<set>, speed in bench/<name>-<set>.json, and memory
in bench/<"memory">-<set>.json. Their contenders are called like the variants, or as these say with "contender". A
config names its "baselines": dense, and dense trained for as long as the variants that start from it; the variants of
the "headline": those of the README and the picture, which have no room for all; contenders with the "same answers" as a
variant at another cost; and the benchmarks of "memory".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import numpy as np

from tokensieve_bench.figures import memory_ratio, reduction, speedup, working_memory_ratio
from tokensieve_bench.places import CONFIGS
from tokensieve_bench.records import Results
from tokensieve_bench.report.accuracy import gained, interval, right, with_interval
from tokensieve_bench.report.frontier_conditions import Records, conditions, speed_conditions
from tokensieve_bench.table import render

MARGINS = (0.5, 0.3)
"""Points of accuracy that a variant may lose and still count as not inferior."""


def config_of(name: str) -> dict[str, Any]:
    """The config as it is now: results name the one that they were made with."""
    config: dict[str, Any] = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
    return config


def accuracy_records(results: Results, name: str) -> Records:
    """Those of a config with several data sets that are there."""
    names = {data: f"accuracy/{name}-{data}" for data in config_of(name)["sets"]}
    return {data: results.read(own) for data, own in names.items() if results.has(own)}


def bench_records(results: Results, name: str) -> Records:
    """Benchmarks of single data sets that are there."""
    return {key.removeprefix(f"{name}-"): record for key, record in results.read_all(f"bench/{name}-*").items()}


def differences(records: Records, variant: str, baseline: str, split: str) -> np.ndarray | None:
    """Points that a variant has more than the baseline, by document of all data sets.

    They are means over the seeds that both have; None if they have none in common.
    """
    by_set = [gained(right(record, variant, split), right(record, baseline, split)) for record in records.values()]
    found = [points for points in by_set if points is not None]
    return np.concatenate(found) if found else None


def verdict(low: float) -> str:
    """The smallest margin at which a variant is not inferior, given the lower end of its interval."""
    held = [f"{margin:g}" for margin in MARGINS if low > -margin]
    return f"at {held[-1]}" if held else "no"


def screen_table(results: Results, name: str) -> str:
    """A row a variant, by the validation documents: what is chosen by."""
    records, config = accuracy_records(results, name), config_of(name)
    baselines = config["baselines"]
    rows = [["variant", "seeds", *records, *(f"against {baseline}, points [95 %]" for baseline in baselines)]]
    for variant in _complete(config, records):
        cells = [variant, _seeds(records, variant), *_accuracies(records, variant, "validation")]
        rows.append([*cells, *(_compared(records, variant, baseline, "validation")[0] for baseline in baselines)])
    return "\n".join([*render(rows, "markdown"), "", *conditions(config, records, "validation")])


def frontier_table(results: Results, name: str, *, brief: bool = False) -> str:
    """A row a variant: accuracy on the test documents of each set, speed and memory on each set's own lengths.

    The brief table has the variants of the headline, differences of accuracy alone, and no conditions.
    """
    records, speeds = accuracy_records(results, name), bench_records(results, name)
    config = config_of(name)
    memories = bench_records(results, config["memory"]) if "memory" in config else {}
    run = list((_headline if brief else _complete)(config, records))
    baselines = [baseline for baseline in config["baselines"] if baseline in run]
    sets = [] if brief else ["seeds", *records]
    cost = ["deferred, %", "times faster", "of our dense", "times fewer FLOPs"]
    for batch in _memory_batches(memories):
        cost += [f"peak memory, batches of {batch}", "above the loaded model"]
    against = [head for name in baselines for head in (f"against {name}, points [95 %]", "not inferior")]
    rows = [["variant", *sets, *against, *cost]]
    for row, variant in _rows(config, run):
        cells = [row]
        if not brief:
            cells += [_seeds(records, variant), *_accuracies(records, variant, "test")]
        for baseline in baselines:
            cells += _compared(records, variant, baseline, "test")
        cells.append(_deferred(records, variant))
        contender = contender_of(config, row)
        rows.append([*cells, *_speeds(speeds, contender), *_shares_of_memory(memories, contender)])
    lines = render(rows, "markdown")
    if brief:
        return "\n".join(lines)
    contenders = dict.fromkeys(contender_of(config, row) for row, _ in _rows(config, run))
    return "\n".join([*lines, "", *conditions(config, records, "test"), *speed_conditions(speeds, contenders)])


PRESETS = {
    "accurate": "no loss is allowed",
    "balanced": "you want speed at the same accuracy",
    "fast": "a quarter of a point is fine; this is the usual choice",
    "fastest": "speed counts most",
}
"""The presets of the README's table, and when to take each."""


def preset_table(results: Results, name: str) -> str:
    """A row a preset: when to take it, how fast it is, and what it costs, on the test documents of all sets."""
    records, speeds, config = accuracy_records(results, name), bench_records(results, name), config_of(name)
    rows = [["preset", "take it when", "documents/s, times transformers", "accuracy against dense, points"]]
    for preset, when in PRESETS.items():
        faster = _speeds(speeds, contender_of(config, preset))[0]
        rows.append([f"`{preset}`", when, faster, _compared(records, preset, config["baselines"][0], "test")[0]])
    return "\n".join(render(rows, "markdown"))


def contender_of(config: dict[str, Any], variant: str) -> str:
    """What a variant is called in the benchmarks: how it was trained makes no difference there."""
    name: str = config["variants"].get(variant, {}).get("contender", variant)
    return name


def _rows(config: dict[str, Any], variants: Iterable[str]) -> Iterator[tuple[str, str]]:
    """What a row tells of, and the variant whose answers it gives: itself, or the same answers at another cost."""
    for variant in variants:
        yield variant, variant
        yield from ((row, given) for row, given in config.get("same answers", {}).items() if given == variant)


def mean_speed(speeds: Records, contender: str) -> float | None:
    """Times faster than the benchmarks' baseline: the geometric mean over the sets; None where it was not measured."""
    found = [
        speedup(record["cells"][0], contender, record["baseline"]).median
        for record in speeds.values()
        if contender in record["contenders"]
    ]
    return geometric_mean(found) if found else None


def frontier_plot(results: Results, name: str, path: Path) -> None:
    """Points of accuracy against the first baseline over times faster, with intervals."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    records, speeds = accuracy_records(results, name), bench_records(results, name)
    config = config_of(name)
    baseline = config["baselines"][0]
    with rc_context({"svg.hashsalt": "tokensieve", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7.5, 4.5), layout="constrained")
        axes = figure.subplots()
        points = {}
        for variant in _headline(config, records):
            faster = mean_speed(speeds, contender_of(config, variant))
            by_document = differences(records, variant, baseline, "test")
            if faster is None or by_document is None:
                continue
            middle, (low, high) = by_document.mean(), interval(by_document)
            axes.errorbar(faster, middle, [[middle - low], [high - middle]], fmt="o", capsize=2, markersize=4)
            points[variant] = faster, middle
        for variant, (x, y) in points.items():  # a name stands to the right, unless another point does
            crowded = any(0 < right - x < 0.45 and abs(height - y) < 0.4 for right, height in points.values())
            place: dict[str, Any] = {"ha": "right", "xytext": (-5, 4)} if crowded else {"xytext": (5, 4)}
            axes.annotate(variant, (x, y), textcoords="offset points", fontsize=8, **place)
        axes.margins(x=0.12)  # the last name has to fit
        axes.axhline(0, color="black", linewidth=0.6)
        axes.axhline(-MARGINS[0], color="black", linewidth=0.6, linestyle=":")
        axes.set_xlabel("times faster than transformers' dense model (SDPA, sorted)")
        axes.set_ylabel(f"points of accuracy against {baseline}")
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, metadata={"Date": None})


def _complete(config: dict[str, Any], records: Records) -> Iterator[str]:
    """The variants that were run on every set."""
    for variant in config["variants"]:
        if all(right(record, variant, "test") for record in records.values()):
            yield variant


def _headline(config: dict[str, Any], records: Records) -> Iterator[str]:
    """Of these the ones that have room everywhere."""
    return (variant for variant in _complete(config, records) if variant in config["headline"])


def _seeds(records: Records, variant: str) -> str:
    counts = sorted({len(right(record, variant, "test")) for record in records.values()})
    return " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))


def _accuracies(records: Records, variant: str, split: str) -> list[str]:
    return [f"{np.mean([*right(record, variant, split).values()]):.4f}" for record in records.values()]


def _compared(records: Records, variant: str, baseline: str, split: str) -> tuple[str, str]:
    """The difference with its interval, and the margin at which it is not inferior; empty where there is none."""
    by_document = None if variant == baseline else differences(records, variant, baseline, split)
    if by_document is None:
        return "", ""
    ends = interval(by_document)
    return with_interval(by_document, ends), verdict(ends[0])


def _deferred(records: Records, variant: str) -> str:
    """Share of the pruned documents that a cascade defers, in percent; empty without a cascade.

    It is the mean over the sets, each of which is a mean over its seeds, with the range of the sets.
    """
    shares = []
    for record in records.values():
        own = [run for run in record["runs"] if run["variant"] == variant]
        shares.append(100 * np.mean([run["deferred"] for run in own]))
    return f"{np.mean(shares):.0f} ({min(shares):.0f}-{max(shares):.0f})" if max(shares) else ""


def _speeds(speeds: Records, contender: str) -> list[str]:
    """Over the sets, with the range: times faster than transformers, than our dense model; FLOPs."""
    own = [record for record in speeds.values() if contender in record["contenders"]]
    if not own:
        return [""] * 3
    against = [speedup(record["cells"][0], contender, record["baseline"]).median for record in own]
    of_dense = [speedup(record["cells"][0], contender, "dense").median for record in own]
    fewer = [reduction(record["cells"][0], contender) or 1.0 for record in own]
    return [_mean_and_range(against), _mean_and_range(of_dense), f"{geometric_mean(fewer):.2f}"]


def _memory_batches(memories: Records) -> list[int]:
    """The sizes of batches that memory was measured at."""
    return sorted({cell["batch"] for record in memories.values() for cell in record["cells"]})


def _shares_of_memory(memories: Records, contender: str) -> list[str]:
    """Shares of the memory of transformers' process, by size of the batches: means over the sets, with the range.

    The first share is of the peak, the second of what the process takes above the loaded model.
    """
    own = [record for record in memories.values() if contender in record["contenders"]]
    found = []
    for batch in _memory_batches(memories):
        cells = [(record["baseline"], cell) for record in own for cell in record["cells"] if cell["batch"] == batch]
        for ratio in (memory_ratio, working_memory_ratio):
            shares = [ratio(cell, contender, baseline).median for baseline, cell in cells]
            found.append(f"{_mean_and_range(shares)}x" if shares else "")
    return found


def _mean_and_range(ratios: list[float]) -> str:
    return f"{geometric_mean(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
