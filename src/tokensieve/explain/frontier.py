"""The frontier that `tokensieve tune` measured: as a chart, and as a section of a run's page."""

from __future__ import annotations

from math import log10
from pathlib import Path

from tokensieve.backbones.loading import file_in
from tokensieve.explain.pictures import Chart, chart
from tokensieve.explain.section import Section
from tokensieve.runtime.frontier import FRONTIER, Frontier, Point, read_frontier
from tokensieve.training.compare import in_points


def frontier_chart(frontier: Frontier) -> Chart:
    """Score against speed, with the chosen point and the dense encoder."""
    measured = frontier.measured
    dense = log10(measured["dense_documents_per_second"]), measured["dense_score"]
    series = [
        ("thresholds", [_place(point) for point in frontier.points]),
        ("chosen", [_place(frontier.points[frontier.chosen])]),
        ("dense", [dense]),
    ]
    found = chart(series, "documents per second", str(measured["metric"]).replace("_", " "), x_log=True)
    assert found is not None, "a frontier has a point"
    return found


def frontier_section(folder: str | Path) -> Section | None:
    """The chart, and a row a point; None without a frontier.

    Raises:
        CheckpointError: frontier.json cannot be used.
    """
    if file_in(folder, FRONTIER) is None:
        return None
    frontier = read_frontier(folder)
    measured = frontier.measured
    said = (
        f"Thresholds of this classifier, measured on {measured['documents']} validation documents. It was chosen for: "
        f"{measured['goal']}.",
        "--speed of predict, evaluate and serve moves along them.",
    )
    head = ("", "documents/s", "times dense", "score", "against dense, points [95 %]", "answered by")
    rows = tuple(
        ("chosen" if number == frontier.chosen else "", *point_cells(point))
        for number, point in enumerate(frontier.points)
    )
    return Section("Frontier", said, head, rows, (("Score against speed", frontier_chart(frontier)),))


def point_cells(point: Point) -> tuple[str, ...]:
    """Speed, score, difference to the dense encoder, and what each stage answers."""
    alone = "" if point.latency_ms is None else f" ({point.latency_ms:.1f} ms)"
    return (
        f"{point.documents_per_second:.1f}{alone}",
        f"{point.speed:.2f}",
        f"{point.score:.4f}",
        in_points(point.difference, point.interval),
        ", ".join(f"{name} {share:.0%}" for name, share in point.shares.items()),
    )


def _place(point: Point) -> tuple[float, float]:
    return log10(point.documents_per_second), point.score
