"""The study of the threshold: a table for each set, and a picture of all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tokensieve_bench.record_files import Record
from tokensieve_bench.records import Results
from tokensieve_bench.report.accuracy import interval
from tokensieve_bench.table import render

_DENSE = "dense"
_ACCOUNT = (3.5, 2.0)
"""Times faster, and times less memory, at no loss of accuracy: what the account of the method says."""


def threshold_records(results: Results) -> Mapping[str, Record]:
    """By data set, the records that are complete."""
    found = results.read_all("thresholds/*")
    return {key: record for key, record in found.items() if len(record.get("memory", {})) == len(record["points"])}


def points_lost(record: Record, name: str) -> np.ndarray:
    """Points of accuracy that a threshold has more than dense, by document."""
    lost: np.ndarray = 100.0 * (_right(record, name) - _right(record, _DENSE))
    return lost


def _right(record: Record, name: str) -> np.ndarray:
    return np.array([int(one) for one in record["points"][name]["right"]])


def times_faster(record: Record, name: str) -> float:
    """Seconds of dense by those of a threshold: the median of the rounds' ratios."""
    pairs = zip(record["seconds"][_DENSE], record["seconds"][name], strict=True)
    return float(median(dense / own for dense, own in pairs))


def working_memory(record: Record, name: str) -> int:
    """Bytes of the peak beyond what the loaded classifier takes."""
    own = record["memory"][name]
    return max(1, int(own["peak_bytes"]) - int(own["loaded_bytes"]))


def threshold_tables(results: Results) -> str:
    """A table for each set, and beside it what the account says."""
    parts = []
    for data, record in threshold_records(results).items():
        head = ["threshold", "tokens kept", "accuracy", "points against dense", "times faster", "working memory"]
        rows = [head, *(_row(record, name) for name in record["points"])]
        documents, timed = len(record["points"][_DENSE]["right"]), record["config"]["timed"]
        parts += [
            f"**{data}**, {documents} test documents; speed: {timed['rounds']} rounds of {timed['documents']} "
            f"documents, in turns. {_verdict(record)}",
            "",
            *render(rows, "markdown"),
            "",
        ]
    return "\n".join(parts).rstrip() or "Not yet."


def _row(record: Record, name: str) -> list[str]:
    point, dense = record["points"][name], working_memory(record, _DENSE)
    lost = points_lost(record, name)
    low, high = interval(lost)
    return [
        name,
        f"{point['share_kept']:.1%}",
        f"{point['accuracy']:.4f}",
        "" if name == _DENSE else f"{lost.mean():+.2f} [{low:+.2f}, {high:+.2f}]",
        f"{times_faster(record, name):.2f}",
        f"{working_memory(record, name) / dense:.2f}",
    ]


def _verdict(record: Record) -> str:
    """What the fastest threshold without a loss that the documents can tell reaches, beside the account."""
    names = [name for name in record["points"] if name != _DENSE and interval(points_lost(record, name))[1] >= 0]
    faster, less = _ACCOUNT
    told = f"The account says {faster:g} times faster and {less:g} times less memory at no loss."
    if not names:
        return f"{told} Every threshold loses accuracy here."
    best = max(names, key=lambda name: times_faster(record, name))
    memory = working_memory(record, _DENSE) / working_memory(record, best)
    return (
        f"{told} Here the fastest threshold whose loss these documents cannot tell from none, {best}, is "
        f"{times_faster(record, best):.2f} times faster and takes {memory:.2f} times less working memory."
    )


def threshold_plot(results: Results, path: Path) -> None:
    """Points of accuracy against dense over times faster, a line a set; each point names its threshold."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "tokensieve", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7.5, 4.5), layout="constrained")
        axes = figure.subplots()
        for data, record in threshold_records(results).items():
            _line(axes, data, record)
        axes.plot([_ACCOUNT[0]], [0], "*", markersize=10, color="black", label="the account's headline")
        axes.axhline(0, color="black", linewidth=0.6)
        axes.set_xlabel("times faster than dense")
        axes.set_ylabel("points of accuracy against dense")
        axes.legend(fontsize=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})


def _line(axes: Any, data: str, record: Record) -> None:
    names = [name for name in record["points"] if name != _DENSE]
    lost = [points_lost(record, name) for name in names]
    middle, bounds = [float(own.mean()) for own in lost], [interval(own) for own in lost]
    ends = [[m - low for m, (low, _) in zip(middle, bounds, strict=True)]]
    ends.append([high - m for m, (_, high) in zip(middle, bounds, strict=True)])
    faster = [times_faster(record, name) for name in names]
    axes.errorbar(faster, middle, ends, fmt="o-", capsize=2, markersize=4, linewidth=0.8, label=data)
    for name, x, y in zip(names, faster, middle, strict=True):
        axes.annotate(name, (x, y), textcoords="offset points", xytext=(4, 4), fontsize=7)
