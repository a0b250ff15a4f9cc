"""Prefetching in a thread: order, bound, errors in their turn, and an end without anything left behind."""

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import closing

import pytest

from support.waiting import wait_until
from tokensieve import DataError
from tokensieve.data.stoppable import stop_asked
from tokensieve.runtime.prefetch import prefetched

NAME = "tokensieve-prefetch"


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == NAME]


class Source:
    """Numbers up to a limit; notes what was made, where, and that it was closed."""

    def __init__(self, limit: int, error: BaseException | None = None) -> None:
        self.made: list[int] = []
        self.where: set[int | None] = set()
        self.closed = False
        self.items = self._items(limit, error)

    def _items(self, limit: int, error: BaseException | None) -> Generator[int, None, None]:
        try:
            for number in range(limit):
                self.where.add(threading.get_ident())
                self.made.append(number)
                yield number
            if error is not None:
                raise error
        finally:
            self.closed = True


def test_all_items_in_order_from_another_thread() -> None:
    source = Source(1000)
    assert list(prefetched(source.items, 3)) == list(range(1000))
    assert source.closed
    assert len(source.where) == 1
    assert source.where.isdisjoint({threading.get_ident()})
    assert not threads()


@pytest.mark.parametrize("most", [1, 2, 5])
def test_it_is_so_far_ahead_and_no_further(most: int) -> None:
    source = Source(100)
    with closing(prefetched(source.items, most)) as items:
        assert source.made == []
        for taken in range(3):
            assert next(items) == taken
            wait_until(lambda: len(source.made) == taken + 1 + most)  # noqa: B023
            time.sleep(0.02)
            assert len(source.made) == taken + 1 + most


@pytest.mark.parametrize("error", [DataError("line 7"), ValueError(), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_an_error_comes_in_its_turn(error: BaseException) -> None:
    source = Source(5, error)
    items = prefetched(source.items, 2)
    assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(type(error)) as caught:
        next(items)
    assert caught.value is error
    assert list(items) == []
    assert source.closed
    assert not threads()


@pytest.mark.parametrize("taken", [1, 50])
def test_closing_ends_the_thread_and_the_source(taken: int) -> None:
    source = Source(1000)
    items = prefetched(source.items, 2)
    for _ in range(taken):
        next(items)
    items.close()
    assert source.closed
    assert not threads()
    assert len(source.made) <= taken + 2


def test_an_error_of_the_caller_ends_the_thread() -> None:
    source = Source(1000)
    with pytest.raises(ZeroDivisionError), closing(prefetched(source.items, 2)) as items:
        for number in items:
            1 // (5 - number)
    assert source.closed
    assert not threads()


def test_one_that_is_forgotten_ends() -> None:
    source = Source(1000)
    items = prefetched(source.items, 2)
    next(items)
    del items
    gc.collect()
    assert source.closed
    assert not threads()


def test_one_that_was_never_asked_has_no_thread() -> None:
    source = Source(10)
    items = prefetched(source.items, 2)
    assert not threads()
    items.close()
    assert source.made == []


def test_a_source_that_looks_is_not_waited_for() -> None:
    def items() -> Generator[int, None, None]:
        yield 0
        while not stop_asked():
            time.sleep(0.001)

    found = prefetched(items(), 2)
    next(found)
    found.close()
    assert not threads()


def test_a_source_that_keeps_waiting_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokensieve.runtime.prefetch._PATIENCE", 0.05)
    come, closed = threading.Event(), threading.Event()

    def items() -> Generator[int, None, None]:
        try:
            yield 0
            come.wait()
            yield 1
            pytest.fail("nobody wants it")
        finally:
            closed.set()

    found = prefetched(items(), 2)
    next(found)
    found.close()
    assert len(threads()) == 1
    come.set()
    assert closed.wait(60)
    wait_until(lambda: not threads())


ENDS = {
    "with items not taken": "source = (number for number in range(10**9))",
    "in a wait for standard input": "source = (document for document in read_documents('-', label_column=None))",
}


@pytest.mark.parametrize("source", ENDS)
def test_the_interpreter_ends_before_it(source: str) -> None:
    """The caller holds on to it: no hang, and no abort because of a lock on standard input."""
    script = f"from tokensieve.data import read_documents\nfrom tokensieve.runtime.prefetch import prefetched\n\
{ENDS[source]}\nitems = prefetched(source, 2)\nnext(items)"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(b'{"text": "film"}\n')
    process.stdin.flush()
    try:
        assert process.wait(60) == 0  # while standard input stays open
    finally:
        process.kill()
        _, said = process.communicate()
    assert said == b""
