"""What a user asks for, and which measured point comes nearest to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokensieve.checks import check_number
from tokensieve.errors import ConfigError
from tokensieve.runtime.frontier import Point


@dataclass(frozen=True)
class Goal:
    """One of three; the other two are None.

    Attributes:
        budget: points of the score that may be lost against the dense encoder, 0 or more. It is compared with the lower
            end of the 95 % interval, and not with the point in its middle.
        speed: times the dense encoder's documents per second, above 0.
        latency_ms: of a document that is read alone, in 95 of 100 cases, above 0.

    Raises:
        ConfigError: none or several of them are given, or one is out of range.
    """

    budget: float | None = None
    speed: float | None = None
    latency_ms: float | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("budget", "speed", "latency_ms") if getattr(self, name) is not None]
        if len(given) != 1:
            told = " and ".join(given) or "none"
            raise ConfigError(f"a goal is one of budget, speed and latency_ms, and here is {told}: give one of them")
        if given == ["budget"]:
            check_number(self, "budget", lambda points: 0 <= points <= 100, "points of the score, 0 to 100")
        else:
            check_number(self, given[0], lambda value: value > 0, "a number above 0")

    def __str__(self) -> str:
        if self.budget is not None:
            return f"at most {self.budget:g} points below the dense encoder"
        if self.speed is not None:
            return f"{self.speed:g} times as fast as the dense encoder"
        return f"at most {self.latency_ms:g} ms for a document"

    def is_met(self, point: Point) -> bool:
        """Whether a point does what is asked for."""
        if self.budget is not None:
            return 100 * point.interval[0] >= -self.budget
        if self.speed is not None:
            return point.speed >= self.speed
        assert self.latency_ms is not None and point.latency_ms is not None
        return point.latency_ms <= self.latency_ms

    def best(self, points: Sequence[Point]) -> int:
        """The number of the point to take.

        Of points that meet a budget it is the fastest; of points that meet a speed or a latency, the one whose score
        is surest. If none meets the goal, it is the one that comes nearest.
        """
        meeting = [number for number, point in enumerate(points) if self.is_met(point)]
        if not meeting:
            return max(range(len(points)), key=lambda number: self._nearness(points[number]))
        order = _surest if self.budget is None else _fastest
        return max(meeting, key=lambda number: order(points[number]))

    def _nearness(self, point: Point) -> float:
        if self.budget is not None:
            return point.interval[0]
        if self.speed is not None:
            return point.speed
        assert point.latency_ms is not None
        return -point.latency_ms


def _surest(point: Point) -> tuple[float, float]:
    return point.interval[0], point.speed


def _fastest(point: Point) -> tuple[float, float]:
    return point.speed, point.interval[0]
