"""The executor: micro-batches at the same time, each on a thread of its own.

By default all of torch's threads share every operation, and wait for one another at its end. The operations of pruned
documents are short, and some are too small to share. A thread that has a micro-batch to itself waits for nobody: on two
threads `fast` and `fastest` take a sixth less time (docs/log/2026-11-27.md). As many threads are at work as before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier, Lock
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_TOGETHER = 16
"""Micro-batches at once; more would wait for Python's lock, which each holds for some percent of its time."""


def run_together(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """The results of `work`, in the order of the items; several at once where torch has threads for that.

    Args:
        work: without gradients; it may not depend on what it did for other items.
        items: one or more.
    """
    threads = torch.get_num_threads()
    together = min(threads, len(items), MOST_TOGETHER)
    alone = together == 1 or _watched() or not _threads_have_their_own_number()
    team = None if alone else _team(together, threads)
    if team is None:
        return [work(item) for item in items]
    return list(team.map(_as_here(work), items))


def _watched() -> bool:
    """Whether something follows this thread's operations, such as a counter of FLOPs: it would not see the others'."""
    modes = torch._C._len_torch_dispatch_stack() + torch._C._len_torch_function_stack()
    traced = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    return modes > 0 or traced or torch.autograd.profiler._is_profiler_enabled


@cache
def _threads_have_their_own_number() -> bool:
    """Whether `torch.set_num_threads` is for the thread that calls it: with OpenMP, which nearly every build has."""
    return "parallel backend: OpenMP" in torch.__config__.parallel_info()


def _as_here(work: Callable[[Item], Result]) -> Callable[[Item], Result]:
    """The work in the modes of the caller's thread, which other threads do not have by themselves."""
    without_gradients = torch.inference_mode if torch.is_inference_mode_enabled() else torch.no_grad
    autocast, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def run(item: Item) -> Result:
        with without_gradients(), torch.autocast("cpu", dtype, enabled=autocast):
            return work(item)

    return run


_teams: dict[tuple[int, int], ThreadPoolExecutor | None] = {}
_lock = Lock()


def _team(together: int, threads: int) -> ThreadPoolExecutor | None:
    """So many threads that share these threads of torch's; made once. None: the system has not so many to give."""
    with _lock:
        if (together, threads) not in _teams:
            try:
                _teams[together, threads] = _started(together, threads)
            except RuntimeError:  # of Thread.start
                _teams[together, threads] = None
        return _teams[together, threads]


def _started(together: int, threads: int) -> ThreadPoolExecutor:
    with ThreadPoolExecutor(1) as outside:  # what a thread sets for itself, threads that are yet to come begin with
        first = outside.submit(torch.get_num_threads).result()
        team = ThreadPoolExecutor(together, "tokensieve-executor", _use_threads, (threads // together,))
        everyone = Barrier(together + 1)
        try:
            for _ in range(together):
                team.submit(everyone.wait)
            everyone.wait()
        except RuntimeError:
            everyone.abort()  # or those that have begun would wait for ever
            team.shutdown()
            raise
        finally:
            outside.submit(torch.set_num_threads, first)
    return team


def _use_threads(number: int) -> None:
    torch.get_num_threads()  # a thread that begins takes what was set last at its first operation: let it be now
    torch.set_num_threads(number)


def _forget_teams() -> None:
    """In a forked process, which has none of their threads."""
    global _lock
    _lock = Lock()
    _teams.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_teams)
