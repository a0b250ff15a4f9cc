"""The frontier as a picture, and as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from pathlib import Path

from tokensieve.explain.page import environment
from tokensieve.explain.pictures import chart
from tokensieve.runtime.frontier import Frontier, Point
from tokensieve.training.compare import in_points

PLOT = "frontier.svg"


def write_plot(folder: Path, frontier: Frontier) -> None:
    """Write frontier.svg: score against speed, with the chosen point and the dense encoder."""
    measured, chosen = frontier.measured, frontier.points[frontier.chosen]
    dense = (log10(measured["dense_documents_per_second"]), measured["dense_score"])
    series = [
        ("thresholds", [_place(point) for point in frontier.points]),
        ("chosen", [_place(chosen)]),
        ("dense", [dense]),
    ]
    picture = chart(series, "documents per second", measured["metric"].replace("_", " "), x_log=True)
    assert picture is not None
    drawing = environment().get_template("frontier.svg.jinja").render(picture=picture)
    (folder / PLOT).write_text(drawing, encoding="utf-8")


def _place(point: Point) -> tuple[float, float]:
    return log10(point.documents_per_second), point.score


def table(rows: Sequence[tuple[str, Point]]) -> list[str]:
    """A line a row, aligned: its name, speed, score, difference to the dense encoder, and what each stage answers."""
    head = ["", "documents/s", "times dense", "score", "against dense", "answered by"]
    cells = [head, *[[name, *_cells(point)] for name, point in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _cells(point: Point) -> list[str]:
    alone = "" if point.latency_ms is None else f" ({point.latency_ms:.1f} ms)"
    return [
        f"{point.documents_per_second:.1f}{alone}",
        f"{point.speed:.2f}",
        f"{point.score:.4f}",
        in_points(point.difference, point.interval),
        ", ".join(f"{name} {share:.0%}" for name, share in point.shares.items()),
    ]
