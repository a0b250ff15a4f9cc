"""Streams that may wait: all of their bytes, or their end for a thread that is asked to stop."""

import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tokensieve.data.stoppable import StoppableThread, stop_asked, stoppable

Pipe = tuple[io.BufferedReader, io.FileIO]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    read, write = os.pipe()
    with open(read, "rb") as reader, open(write, "wb", buffering=0) as writer:
        yield reader, writer


def in_thread(work: Callable[[], Any]) -> tuple[StoppableThread, list[Any]]:
    """A running thread, and the list that will hold what `work` returns."""
    found: list[Any] = []
    thread = StoppableThread(lambda: found.append(work()), "tested")
    thread.start()
    return thread, found


def test_all_that_is_written_is_read(pipe: Pipe) -> None:
    """Across the sizes of buffers and pipes, and with pauses; what was peeked at before is not lost."""
    reader, writer = pipe
    data = os.urandom(300_000)

    def read() -> bytes:
        with stoppable(reader) as stream:
            assert stream is not reader
            return stream.peek(4)[:0] + stream.read()

    writer.write(data[:10])
    assert reader.peek(1)
    thread, found = in_thread(read)
    for start in range(10, len(data), 7919):
        writer.write(data[start : start + 7919])
    writer.close()
    thread.join(60)
    assert found == [data]


def test_a_thread_that_is_asked_to_stop_waits_no_more(pipe: Pipe) -> None:
    reader, writer = pipe

    def read() -> tuple[bytes, bytes, bool]:
        with stoppable(reader) as stream:
            return stream.readline(), stream.readline(), stop_asked()

    writer.write(b"first\n")
    thread, found = in_thread(read)
    thread.join(0.3)
    assert thread.is_alive(), "there may be more to come"
    thread.asked.set()
    thread.join(60)
    assert found == [(b"first\n", b"", True)]
    assert not reader.closed, "it is closed by who opened it"
    writer.write(b"second\n")
    assert reader.readline() == b"second\n"


def test_files_do_not_wait(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("film")

    def read() -> bool:
        with open(tmp_path / "a.txt", "rb") as file, stoppable(file) as stream:
            return stream is file

    thread, found = in_thread(read)
    thread.join(60)
    assert found == [True]


def test_other_threads_read_the_stream_itself(pipe: Pipe) -> None:
    with stoppable(pipe[0]) as stream:
        assert stream is pipe[0]
    assert not stop_asked()
    assert not isinstance(threading.current_thread(), StoppableThread)


def test_streams_in_memory() -> None:
    def read() -> bytes:
        with stoppable(io.BufferedReader(io.BytesIO(b"film"))) as stream:  # type: ignore[arg-type]
            return stream.read()

    thread, found = in_thread(read)
    thread.join(60)
    assert found == [b"film"]
