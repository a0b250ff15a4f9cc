"""A record as a picture: a panel for each cell, a bar for each contender, and a mark for its cut in FLOPs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokensieve.errors import MissingExtraError
from tokensieve_bench.figures import Cell, Record, Spread, has_seconds, is_fair, memory_ratio, reduction, speedup


def plot(record: Record, path: Path) -> None:
    """Write the picture; .svg, .png or what else matplotlib knows by the name's ending.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("a plot", "matplotlib", "bench") from error
    contenders = [name for name in record["contenders"] if name != record["baseline"]]
    batches = list(dict.fromkeys(cell["batch"] for cell in record["cells"]))
    columns = len(record["cells"]) // len(batches)
    # The same record gives the same file: no date in it, and no random ids.
    with rc_context({"svg.hashsalt": "tokensieve", "svg.fonttype": "none"}):
        figure = Figure(
            figsize=(2.5 + 3.2 * columns, (1.2 + 0.28 * len(contenders)) * len(batches)), layout="constrained"
        )
        axes = figure.subplots(len(batches), columns, squeeze=False, sharey=True, sharex=True)
        for cell in record["cells"]:
            row = batches.index(cell["batch"])
            column = [own for own in record["cells"] if own["batch"] == cell["batch"]].index(cell)
            _panel(axes[row][column], record, cell, contenders)
        figure.suptitle(f"{record['name']}: {_what(record)}", fontsize=10)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _what(record: Record) -> str:
    baseline = record["baseline"]
    if not has_seconds(record["cells"][0]):
        return f"share of the peak memory of {baseline}"
    marks = " (marks: times fewer FLOPs)" if is_fair(record, baseline) else ""
    return f"times faster than {baseline}{marks}"


def _panel(axes: Any, record: Record, cell: Cell, contenders: list[str]) -> None:
    baseline = record["baseline"]
    ratio = speedup if has_seconds(cell) else memory_ratio
    spreads: list[Spread] = [ratio(cell, contender, baseline) for contender in contenders]
    places = list(range(len(contenders)))[::-1]
    middle = [spread.median for spread in spreads]
    ends = [[own.median - own.low for own in spreads], [own.high - own.median for own in spreads]]
    axes.barh(places, middle, xerr=ends, color="#4878a8", height=0.7, error_kw={"elinewidth": 0.8})
    if has_seconds(cell) and is_fair(record, baseline):
        marks = [
            (fewer, place) for name, place in zip(contenders, places, strict=True) if (fewer := reduction(cell, name))
        ]
        axes.plot([mark[0] for mark in marks], [mark[1] for mark in marks], "D", color="#c04e2d", markersize=4)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(places, contenders, fontsize=8)
    length = "own lengths" if cell["length"] is None else f"{cell['length']} tokens"
    axes.set_title(f"batch {cell['batch']}, {length}", fontsize=9)
