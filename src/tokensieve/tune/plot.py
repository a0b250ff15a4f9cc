"""The frontier as a picture in a file, and points as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokensieve.explain.frontier import frontier_chart, point_cells
from tokensieve.explain.page import environment
from tokensieve.runtime.frontier import Frontier, Point

PLOT = "frontier.svg"


def write_plot(folder: Path, frontier: Frontier) -> None:
    """Write frontier.svg: score against speed, with the chosen point and the dense encoder."""
    drawing = environment().get_template("frontier.svg.jinja").render(picture=frontier_chart(frontier))
    (folder / PLOT).write_text(drawing, encoding="utf-8")


def table(rows: Sequence[tuple[str, Point]]) -> list[str]:
    """A line a row, aligned: its name, speed, score, difference to the dense encoder, and what each stage answers."""
    head = ("", "documents/s", "times dense", "score", "against dense", "answered by")
    cells = [head, *[(name, *point_cells(point)) for name, point in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
