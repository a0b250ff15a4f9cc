"""Pictures of a page as figures that its templates draw in SVG: bars, curves. They need no colour to be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

DASHES = ("", "6 3", "2 3", "8 3 2 3")
"""Dashes of the lines of a chart, which tell them apart without colour."""

RIGHT = 24
"""Units to the right of a chart, where half of the last tick's text stands."""


@dataclass(frozen=True)
class Bar:
    """A bar of a picture: its name below, its value above, and its place in units of the picture."""

    name: str
    value: str
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """The place of its texts."""
        return round(self.x + self.width / 2, 1)


@dataclass(frozen=True)
class Bars:
    """A picture of bars."""

    width: int
    height: int
    bars: tuple[Bar, ...]


def bars(rows: Sequence[tuple[str, float]], width: int, height: int) -> Bars:
    """Bars of (name, value) side by side; a text line above and below them is part of the height."""
    most, room = max((value for _, value in rows), default=0) or 1, height - 26
    each = min(44.0, width / max(1, len(rows)))
    found = []
    for place, (name, value) in enumerate(rows):
        tall = round(room * value / most, 1)
        found.append(
            Bar(name, f"{value:.0f}", round(place * each, 1), round(13 + room - tall, 1), round(each - 3, 1), tall)
        )
    return Bars(round(each * len(rows)), height, tuple(found))


@dataclass(frozen=True)
class Line:
    """A line of a chart: its name, its style among `DASHES`, and its points in units of the picture."""

    name: str
    style: int
    points: tuple[tuple[float, float], ...]
    values: tuple[str, ...] = ()

    @property
    def dash(self) -> str:
        """Lengths of its dashes and gaps."""
        return DASHES[self.style]

    @property
    def path(self) -> str:
        """The points as an SVG polyline takes them."""
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)


@dataclass(frozen=True)
class Chart:
    """Lines over two axes, each with its ticks: text, and place in units of the picture."""

    width: int
    height: int
    left: int
    bottom: int
    lines: tuple[Line, ...]
    across: tuple[tuple[str, float], ...]
    up: tuple[tuple[str, float], ...]
    x_name: str
    y_name: str

    @property
    def right(self) -> int:
        """The place in which lines end."""
        return self.width - RIGHT

    @property
    def dashed(self) -> tuple[Line, ...]:
        """The lines that have to be told apart: those of more than a point."""
        return tuple(line for line in self.lines if len(line.points) > 1)


def chart(
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    x_name: str,
    y_name: str,
    *,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    x_log: bool = False,
) -> Chart | None:
    """A chart of named series of (x, y); None where there is not a point.

    Args:
        series: each with its points; one of a single point has its name beside it.
        x_name: of the axis.
        y_name: the same.
        x_range: ends of the axis; None: those of the points.
        y_range: the same.
        x_log: the x are logarithms to base 10; the axis runs from one power of ten to another.
    """
    points = [point for _, own in series for point in own]
    if not points:
        return None
    width, height, left, bottom, top = 460, 228, 52, 190, 22
    if x_log:
        x_range = floor(min(x for x, _ in points)), floor(max(x for x, _ in points)) + 1
    xs = _range([x for x, _ in points], x_range, 0.0)
    ys = _range([y for _, y in points], y_range, 0.06)

    def at(x: float, y: float) -> tuple[float, float]:
        across = left + (width - left - RIGHT) * (x - xs[0]) / (xs[1] - xs[0])
        return round(across, 1), round(bottom - (bottom - top) * (y - ys[0]) / (ys[1] - ys[0]), 1)

    lines = tuple(
        Line(name, number % len(DASHES), tuple(at(*point) for point in own), tuple(f"{y:.4g}" for _, y in own))
        for number, (name, own) in enumerate(series)
        if own
    )
    wanted = range(round(xs[0]), round(xs[1]) + 1) if x_log else ticks(*xs)
    across = tuple((f"{10**tick if x_log else tick:,g}", at(tick, ys[0])[0]) for tick in wanted)
    up = tuple((f"{tick:g}", at(xs[0], tick)[1]) for tick in ticks(*ys))
    return Chart(width, height, left, bottom, lines, across, up, x_name, y_name)


def calibration_curve(curve: Sequence[tuple[float, float, int]]) -> Chart | None:
    """Share right against confidence, beside the line on which both are equal."""
    points = [(sure, right) for sure, right, _ in curve]
    series = [("answers", points), ("calibrated", [(0.0, 0.0), (1.0, 1.0)])]
    return chart(series, "confidence", "share right", x_range=(0, 1), y_range=(0, 1)) if points else None


def _range(values: Sequence[float], given: tuple[float, float] | None, room: float) -> tuple[float, float]:
    """The ends of an axis: as given, or those of the values with a share of room at both."""
    if given is not None:
        return given
    low, high = min(values), max(values)
    space = room * (high - low)
    return (low - space, high + space) if high > low else (low - 0.5, high + 0.5)


def ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers from `low` to `high`."""
    step = 10 ** floor(log10(high - low))
    for factor in (1.0, 0.5, 0.2, 0.1):
        first = -floor(-low / (step * factor) + 1e-9)
        last = floor(high / (step * factor) + 1e-9)
        if last - first >= 2:
            return [round(number * step * factor, 10) for number in range(first, last + 1)]
    return [low, high]
