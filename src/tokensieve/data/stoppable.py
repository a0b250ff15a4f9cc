"""Threads that can be asked to stop, and streams that notice it while they wait for more to read."""

from __future__ import annotations

import io
import os
import select
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

_LOOK_AROUND = 0.1  # seconds between two looks whether a waiting thread was asked to stop
_SELECTABLE = 1024  # `select` knows file numbers below this


class StoppableThread(threading.Thread):
    """A daemon thread that can be asked to stop; what may take long in it looks whether it was.

    Attributes:
        asked: set to ask for it.
    """

    def __init__(self, target: Callable[[], object], name: str) -> None:
        super().__init__(target=target, name=name, daemon=True)
        self.asked = threading.Event()


def stop_asked() -> bool:
    """Whether the thread that calls this was asked to stop; never in a thread of another kind."""
    thread = threading.current_thread()
    return isinstance(thread, StoppableThread) and thread.asked.is_set()


@contextmanager
def stoppable(stream: io.BufferedReader) -> Iterator[io.BufferedReader]:
    """The stream, which ends for a thread that is asked to stop instead of keeping it waiting.

    A thread that waits within `read` cannot be woken, and one that does so on standard input when the interpreter ends
    makes it abort, as it holds the stream's lock. Pipes, terminals and devices wait; a regular file does not. On
    Windows, where only sockets can be selected, the stream is left as it is.
    """
    if not isinstance(threading.current_thread(), StoppableThread) or not _may_wait(stream):
        yield stream
        return
    reader = io.BufferedReader(_StoppableReader(stream))
    try:
        yield cast(io.BufferedReader, reader)
    finally:
        reader.detach()  # the stream is closed by whoever opened it


def _may_wait(stream: io.BufferedReader) -> bool:
    if sys.platform == "win32":
        return False
    try:
        number = stream.fileno()
        return number < _SELECTABLE and not stat.S_ISREG(os.fstat(number).st_mode)
    except (OSError, AttributeError):  # a stream in memory
        return False


class _StoppableReader(io.RawIOBase):
    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not select.select([self._stream], [], [], _LOOK_AROUND)[0]:
            if stop_asked():
                return 0
        data = self._stream.read1(len(buffer))  # of what has come; it leaves nothing behind in a buffer of its own
        buffer[: len(data)] = data
        return len(data)
