"""A goal: which point it takes, and which comes nearest where none meets it."""

from typing import Any

import pytest

from tokensieve.errors import ConfigError
from tokensieve.runtime.frontier import Point
from tokensieve.tune.goal import Goal


def point(speed: float, low: float, latency_ms: float | None = None) -> Point:
    return Point(None, None, {"encoder": 1.0}, 10 * speed, speed, 0.8, low + 0.01, (low, low + 0.02), latency_ms)


POINTS = [point(1, 0.0, 40), point(4, -0.004, 9), point(8, -0.011, 6), point(8.5, -0.03, 5)]


@pytest.mark.parametrize(
    ("goal", "number", "met"),
    [
        (Goal(budget=0), 0, True),
        (Goal(budget=0.5), 1, True),
        (Goal(budget=2), 2, True),
        (Goal(budget=5), 3, True),
        (Goal(speed=1), 0, True),
        (Goal(speed=3.5), 1, True),
        (Goal(speed=8), 2, True),
        (Goal(speed=100), 3, False),
        (Goal(latency_ms=10), 1, True),
        (Goal(latency_ms=6), 2, True),
        (Goal(latency_ms=1), 3, False),
    ],
)
def test_the_point_that_is_taken(goal: Goal, number: int, met: bool) -> None:
    assert goal.best(POINTS) == number
    assert goal.is_met(POINTS[number]) is met


def test_a_budget_holds_for_the_lower_end_and_not_for_the_middle() -> None:
    unsure = point(9, -0.015)
    assert unsure.difference > -0.006
    assert not Goal(budget=1).is_met(unsure)
    assert Goal(budget=1).best([unsure, point(20, -0.2)]) == 0, "the nearest"


@pytest.mark.parametrize("given", [{}, {"budget": 0, "speed": 8}, {"speed": 2, "latency_ms": 1}])
def test_one_goal_alone(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="give one of them"):
        Goal(**given)


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), "2", True])
@pytest.mark.parametrize("name", ["budget", "speed", "latency_ms"])
def test_values_out_of_range(name: str, bad: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        Goal(**{name: bad})
