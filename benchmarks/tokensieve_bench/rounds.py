"""Interleaved rounds: each runs every contender once, so that all meet the same machine and its other load."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

T = TypeVar("T")
Report = Callable[[str], None]
LEAST = 0.5
"""Seconds that a round gives each work at least; one that takes less is called several times."""


def run_interleaved(
    works: Mapping[str, Callable[[], T]], rounds: int, report: Report, *, warm_up: bool = True
) -> dict[str, list[T]]:
    """Run every work once a round, in a random order of each round, so that none always follows the same other.

    Args:
        works: by the name of the contender.
        rounds: that count.
        report: gets a line for every round that begins.
        warm_up: begin with a round that does not count.

    Returns:
        By name, the result of every round.
    """
    names = list(works)
    results: dict[str, list[T]] = {name: [] for name in names}
    gc.freeze()  # what is there already stays; to look through it before every call would take a second each time
    try:
        for number in range(0 if warm_up else 1, rounds + 1):
            report(f"round {number} of {rounds}" if number else "warming up")
            for name in random.Random(number).sample(names, len(names)):
                gc.collect()
                result = works[name]()
                if number:
                    results[name].append(result)
    finally:
        gc.unfreeze()
    return results


def time_interleaved(
    calls: Mapping[str, Callable[[], object]], rounds: int, report: Report = lambda _: None
) -> dict[str, list[float]]:
    """Seconds of every call by round, after a warm-up; in a round a short call is repeated, and its mean counts."""
    return run_interleaved({name: partial(seconds, call, LEAST) for name, call in calls.items()}, rounds, report)


def seconds(call: Callable[[], object], least: float = 0.0) -> float:
    """How long a call takes: the mean of as many calls in a row as take `least` seconds together."""
    start, calls, taken = time.perf_counter(), 0, 0.0
    while not calls or taken < least:
        call()
        calls, taken = calls + 1, time.perf_counter() - start
    return taken / calls
