"""Subjects take turns, so that all of them meet the same machine: its clock, its heat, its other guests."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")
Told = Callable[[str], None]


def in_turns(
    works: Mapping[str, Callable[[], T]], rounds: int, told: Told, *, warm_up: bool = True
) -> dict[str, list[T]]:
    """What each work gives in every round; the order is another one in each, so that none always follows the same.

    Args:
        works: by the name of the subject.
        rounds: that count.
        told: is told of every round that begins.
        warm_up: begin with a round that does not count.
    """
    names = list(works)
    found: dict[str, list[T]] = {name: [] for name in names}
    gc.freeze()  # what is there already stays; to look through it before every turn would take a second each time
    try:
        for number in range(0 if warm_up else 1, rounds + 1):
            told(f"round {number} of {rounds}" if number else "warming up")
            for name in random.Random(number).sample(names, len(names)):
                gc.collect()
                result = works[name]()
                if number:
                    found[name].append(result)
    finally:
        gc.unfreeze()
    return found


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
