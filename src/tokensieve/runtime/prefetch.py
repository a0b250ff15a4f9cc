"""Prefetching: a thread makes the next items while the caller works on earlier ones."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from tokensieve.data.stoppable import StoppableThread, stop_asked

T = TypeVar("T")

_PATIENCE = 3.0  # seconds that a thread has to stop in; one that its source keeps waiting longer is left behind
_WAKE = 1.0  # seconds; on Windows Ctrl-C does not wake who waits without a limit


def prefetched(items: Generator[T, None, None], most: int) -> Generator[T, None, None]:
    """Iterate over the items, in their order, made in a thread of their own that is at most `most` of them ahead.

    The thread starts with the first item that is asked for. An error of `items` is raised here in its turn, after the
    items before it. Closing this generator closes `items`, in the thread, and waits for it. An `items` that takes long
    has to look at `stop_asked`. A thread whose source keeps it waiting is left behind: it ends with its source, or with
    the process.

    Args:
        items: used by the thread alone from now on.
        most: items that are made or waiting to be taken, at any time, beside the one that the caller works on.
    """
    producer = _Producer(items, most)
    atexit.register(producer.stop)  # where the caller still holds this generator when the interpreter ends
    try:
        producer.thread.start()
        yield from producer.taken()
    finally:
        producer.stop()
        atexit.unregister(producer.stop)


class _Producer(Generic[T]):
    """Makes items while there is room, and hands them over."""

    def __init__(self, items: Generator[T, None, None], most: int) -> None:
        self.thread = StoppableThread(self._make, "tokensieve-prefetch")
        self._items = items
        self._room = threading.Semaphore(most)
        self._made: SimpleQueue[tuple[T] | None] = SimpleQueue()  # None: no more to come
        self._error: BaseException | None = None

    def taken(self) -> Iterator[T]:
        """The items, each when it is made; raises what ended them."""
        while (made := self._next()) is not None:
            self._room.release()
            yield made[0]
            del made  # not kept while the next one is awaited
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback leads here: no cycle that keeps it alive

    def stop(self) -> None:
        """Ask the thread to stop, and wait until it has."""
        self.thread.asked.set()
        self._room.release()
        if self.thread.is_alive() and self.thread is not threading.current_thread():
            self.thread.join(_PATIENCE)

    def _next(self) -> tuple[T] | None:
        while True:
            try:
                return self._made.get(timeout=_WAKE)
            except Empty:
                continue

    def _make(self) -> None:
        try:
            with closing(self._items):
                while self._room.acquire() and not stop_asked():
                    self._made.put((next(self._items),))
        except StopIteration:
            pass
        except BaseException as error:  # whatever it is, it is the caller's
            self._error = error
        finally:
            self._made.put(None)
