"""Speeds by a clock that goes on when something is read: by turns, without the round that warms up."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tokensieve.tune import measure
from tokensieve.tune.measure import ROUNDS, Timing, paired_ratios, timings


class Clock:
    """Readers move it on, and are noted in `turns`."""

    def __init__(self) -> None:
        self.now, self.turns = 0.0, list[str]()

    def reader(self, name: str, *seconds: float) -> Any:
        """Takes so many seconds, call by call."""
        left = list(seconds)

        def read(texts: Sequence[str]) -> None:
            self.now += left.pop(0)
            self.turns.append(name)

        return SimpleNamespace(encode=read, predict=read)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(measure, "time", SimpleNamespace(perf_counter=lambda: made.now))
    return made


def test_a_ratio_is_of_one_round_with_turns_that_change(clock: Clock) -> None:
    pruned, dense = clock.reader("pruned", 90, 1, 2, 6), clock.reader("dense", 9, 4, 4, 8)
    assert paired_ratios(pruned, dense, ["a", "b"], 3) == [0.25, 0.5, 0.75]
    assert clock.turns == ["dense", "pruned", "pruned", "dense"] * 2


def test_texts_alone_are_read_one_by_one(clock: Clock) -> None:
    pruned, dense = clock.reader("pruned", 5, 5, 1, 2), clock.reader("dense", 9, 9, 2, 2)
    assert paired_ratios(pruned, dense, ["a", "b"], 1, alone=True) == [0.75]


def test_the_speed_is_that_of_the_rounds_that_count(clock: Clock) -> None:
    """Texts in the median second; the speed is the median of the rounds' ratios."""
    dense, cheap = clock.reader("dense", 90, 8, 8, 16), clock.reader("cheap", 90, 4, 1, 2)
    applied: list[Any] = []
    found = timings(dense, [(cheap, cast(Any, SimpleNamespace(apply=applied.append)))], ["a", "b"], latency=False)
    assert found == [Timing(documents_per_second=1.0, speed=8.0, latency_ms=None)]
    assert clock.turns == ["dense", "cheap"] * (ROUNDS + 1)
    assert applied == [cheap] * (ROUNDS + 1)
