"""Accuracy over several data sets against speed: tables and a picture for `report.py`.

Accuracy is of results/accuracy/<name>-<set>.json, speed of results/bench/<name>-<set>.json, whose subjects are called
like the variants.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import numpy as np
from machine import ROOT
from tables import interval, told

from tokensieve.bench.figures import reduction, speedup
from tokensieve.bench.table import render

MARGINS = (0.5, 0.3)
"""Points of accuracy that a variant may lose and still count as not inferior."""

Records = Mapping[str, dict[str, Any]]
"""By data set."""


def accuracy_records(name: str) -> Records:
    """Those of a config with several data sets."""
    config = json.loads((ROOT / "experiments" / "configs" / f"{name}.json").read_text(encoding="utf-8"))
    files = {data: ROOT / "results" / "accuracy" / f"{name}-{data}.json" for data in config["sets"]}
    return {data: json.loads(file.read_text(encoding="utf-8")) for data, file in files.items()}


def right(record: dict[str, Any], variant: str, split: str) -> np.ndarray:
    """[seeds, documents] of 0 and 1, whether each document of a split was classified rightly."""
    runs = [run for run in record["runs"] if run["variant"] == variant]
    if split == "validation":
        return np.array([run["validation_right"] for run in runs], dtype=float)
    return np.array([np.array(run["predicted"]) == np.array(record["truth"]) for run in runs], dtype=float)


def differences(records: Records, variant: str, split: str) -> np.ndarray:
    """Points that a variant has more than dense, by document: the mean over seeds, the documents of all sets."""
    own = {data: (right(record, variant, split), right(record, "dense", split)) for data, record in records.items()}
    seeds = {data: min(len(one), len(dense)) for data, (one, dense) in own.items()}
    return 100 * np.concatenate(
        [(one[: seeds[data]] - dense[: seeds[data]]).mean(0) for data, (one, dense) in own.items()]
    )


def verdict(low: float) -> str:
    """The margins at which a variant is not inferior, given the lower end of its interval."""
    held = [f"{margin:g}" for margin in MARGINS if low > -margin]
    return f"at {held[-1]}" if held else "no"


def screen_table(name: str) -> str:
    """A row a variant, by the validation documents: what is chosen by."""
    records = accuracy_records(name)
    first = next(iter(records.values()))
    rows = [["variant", *records, "mean", "against dense, points [95 %]"]]
    for variant in first["config"]["variants"]:
        if any(len(right(record, variant, "validation")) == 0 for record in records.values()):
            continue
        means = [right(record, variant, "validation").mean() for record in records.values()]
        cells = [variant, *(f"{mean:.4f}" for mean in means), f"{np.mean(means):.4f}"]
        rows.append([*cells, "" if variant == "dense" else told(differences(records, variant, "validation"))])
    return "\n".join(render(rows, "markdown"))


def frontier_table(name: str) -> str:
    """A row a variant: accuracy of each set and of all on the test documents, and speed on each set's own lengths."""
    records, speeds = accuracy_records(name), speeds_of(name)
    first = next(iter(records.values()))
    head = ["variant", *records, "against dense, points [95 %]", "not inferior", "times faster", "times fewer FLOPs"]
    rows = [head]
    for variant in first["config"]["variants"]:
        cells = [variant, *(f"{right(record, variant, 'test').mean():.4f}" for record in records.values())]
        by_document = differences(records, variant, "test")
        compared = ["", ""] if variant == "dense" else [told(by_document), verdict(interval(by_document)[0])]
        rows.append([*cells, *compared, *_speed_cells(speeds, variant)])
    return "\n".join(render(rows, "markdown"))


def speeds_of(name: str) -> Records:
    """Benchmarks of the config's data sets that are there."""
    files = sorted((ROOT / "results" / "bench").glob(f"{name}-*.json"))
    return {file.stem.removeprefix(f"{name}-"): json.loads(file.read_text(encoding="utf-8")) for file in files}


def mean_speed(speeds: Records, variant: str) -> float | None:
    """Times faster than the benchmarks' baseline: the geometric mean over the sets; None where it was not measured."""
    found = [
        speedup(record["cells"][0], variant, record["baseline"]).median
        for record in speeds.values()
        if variant in record["subjects"]
    ]
    return geometric_mean(found) if found else None


def frontier_plot(name: str, path: Path) -> None:
    """Points of accuracy against dense over times faster, with intervals."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    records, speeds = accuracy_records(name), speeds_of(name)
    with rc_context({"svg.hashsalt": "tokensieve", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7.5, 4.5), layout="constrained")
        axes = figure.subplots()
        for variant in next(iter(records.values()))["config"]["variants"]:
            faster = mean_speed(speeds, variant)
            if faster is None:
                continue
            by_document = differences(records, variant, "test")
            middle, (low, high) = by_document.mean(), interval(by_document)
            axes.errorbar(faster, middle, [[middle - low], [high - middle]], fmt="o", capsize=2, markersize=4)
            axes.annotate(variant, (faster, middle), xytext=(5, 4), textcoords="offset points", fontsize=8)
        axes.axhline(0, color="black", linewidth=0.6)
        axes.axhline(-MARGINS[0], color="black", linewidth=0.6, linestyle=":")
        axes.set_xlabel("times faster than transformers' dense model (SDPA, sorted)")
        axes.set_ylabel("points of accuracy against dense")
        figure.savefig(path, metadata={"Date": None})


def _speed_cells(speeds: Records, variant: str) -> list[str]:
    faster = mean_speed(speeds, variant)
    if faster is None:
        return ["", ""]
    own = [record for record in speeds.values() if variant in record["subjects"]]
    each = [speedup(record["cells"][0], variant, record["baseline"]).median for record in own]
    fewer = [reduction(record["cells"][0], variant) or 1.0 for record in own]
    return [f"{faster:.2f} ({min(each):.2f}-{max(each):.2f})", f"{geometric_mean(fewer):.2f}"]
