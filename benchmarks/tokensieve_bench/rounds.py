"""Interleaved rounds: each runs every contender once, so that all meet the same machine and its other load."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")
Report = Callable[[str], None]


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


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
