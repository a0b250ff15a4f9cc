"""The study of the threshold: a table for each set, and a picture of all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tokensieve_bench.figures import paired
from tokensieve_bench.record_files import Record
from tokensieve_bench.records import Results
from tokensieve_bench.report.accuracy import interval, with_interval
from tokensieve_bench.table import made_with, render, threads_of

_DENSE = "dense"
_ACCOUNT = (3.5, 2.0)
"""Times faster, and times less memory, at no loss of accuracy: what the account of the method says."""
MARGIN = 0.5
"""Points of accuracy. A threshold can be chosen if its interval on the validation documents says that it loses less."""


def threshold_records(results: Results) -> Mapping[str, Record]:
    """By data set, the records that are complete."""
    found = results.read_all("thresholds/*")
    return {key: record for key, record in found.items() if len(record.get("memory", {})) == len(record["points"])}


def points_gained(record: Record, name: str, split: str) -> np.ndarray:
    """Points of accuracy that a threshold has more than dense, by document of a split."""
    gained: np.ndarray = 100.0 * (_right(record, name, split) - _right(record, _DENSE, split))
    return gained


def _right(record: Record, name: str, split: str) -> np.ndarray:
    return np.array([int(one) for one in record["points"][name][split]["right"]])


def times_faster(record: Record, name: str) -> float:
    """Seconds of dense by those of a threshold: the median of the rounds' ratios."""
    return paired(record["seconds"][_DENSE], record["seconds"][name]).median


def working_memory(record: Record, name: str) -> int:
    """Bytes of the peak beyond what the loaded classifier takes."""
    own = record["memory"][name]
    return max(1, int(own["peak_bytes"]) - int(own["loaded_bytes"]))


def threshold_tables(results: Results) -> str:
    """A table for each set, and beside it what the account says."""
    parts = []
    for data, record in threshold_records(results).items():
        head = ["threshold", "tokens kept", "validation accuracy", "points against dense [95 %]"]
        rows = [[*head, "times faster", "working memory"], *(_row(record, name) for name in record["points"])]
        documents, timed = len(_right(record, _DENSE, "validation")), record["config"]["timed"]
        parts += [
            f"**{data}**. {_verdict(record)}",
            "",
            *render(rows, "markdown"),
            "",
            f"- Tokens and accuracy are those of {documents} validation documents. Chosen is the fastest threshold "
            f"whose interval there stays above -{MARGIN:g} points. It alone has its test figure told.",
            f"- Speed: {timed['rounds']} interleaved rounds of {timed['documents']} documents, "
            f"{threads_of([record['machine']])}; {made_with([record['machine']])}",
            "",
        ]
    return "\n".join(parts).rstrip() or "Not yet."


def _row(record: Record, name: str) -> list[str]:
    point, dense = record["points"][name]["validation"], working_memory(record, _DENSE)
    gained = points_gained(record, name, "validation")
    return [
        name,
        f"{point['share_kept']:.1%}",
        f"{point['accuracy']:.4f}",
        "" if name == _DENSE else with_interval(gained, interval(gained)),
        f"{times_faster(record, name):.2f}",
        f"{working_memory(record, name) / dense:.2f}",
    ]


def chosen(record: Record) -> str | None:
    """The fastest threshold whose interval on the validation documents stays above the margin; None: there is none."""
    names = [
        name
        for name in record["points"]
        if name != _DENSE and interval(points_gained(record, name, "validation"))[0] > -MARGIN
    ]
    return max(names, key=lambda name: times_faster(record, name), default=None)


def _verdict(record: Record) -> str:
    """What the chosen threshold reaches, beside the account."""
    best, (faster, less) = chosen(record), _ACCOUNT
    told = f"The account says {faster:g} times faster and {less:g} times less memory at no loss."
    if best is None:
        return f"{told} Here the validation documents show of no threshold that it loses less than {MARGIN:g} points."
    memory, gained = working_memory(record, _DENSE) / working_memory(record, best), points_gained(record, best, "test")
    return (
        f"{told} Here the threshold {best} is chosen. It is {times_faster(record, best):.2f} times faster, takes "
        f"{memory:.2f} times less working memory, and has {with_interval(gained, interval(gained))} points on "
        f"{len(gained)} test documents."
    )


def threshold_plot(results: Results, path: Path) -> None:
    """Validation accuracy against dense over times faster, a line a set; each point names its threshold."""
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
        axes.set_ylabel("points of validation accuracy against dense")
        axes.legend(fontsize=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})


def _line(axes: Any, data: str, record: Record) -> None:
    names = [name for name in record["points"] if name != _DENSE]
    gained = [points_gained(record, name, "validation") for name in names]
    middle, bounds = [float(own.mean()) for own in gained], [interval(own) for own in gained]
    ends = [[m - low for m, (low, _) in zip(middle, bounds, strict=True)]]
    ends.append([high - m for m, (_, high) in zip(middle, bounds, strict=True)])
    faster = [times_faster(record, name) for name in names]
    axes.errorbar(faster, middle, ends, fmt="o-", capsize=2, markersize=4, linewidth=0.8, label=data)
    for name, x, y in zip(names, faster, middle, strict=True):
        axes.annotate(name, (x, y), textcoords="offset points", xytext=(4, 4), fontsize=7)
