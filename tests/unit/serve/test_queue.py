"""The queue and the thread of the model: who is read with whom, in which order, and who fails."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from support.waiting import wait_until
from tokensieve.data.tokenize import Encodings
from tokensieve.runtime.results import Result
from tokensieve.serve.metrics import Metrics
from tokensieve.serve.model_thread import ModelThread
from tokensieve.serve.queue import Item, Reading, TokenQueue

BAD = 99
"""A token that the engine of these tests cannot read."""


class FakeEngine:
    """Answers a text with its first token, as the label."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_read = threading.Event()
        self.may_read.set()

    def read(self, encodings: Encodings) -> list[Result]:
        assert self.may_read.wait(60)
        self.batches.append(encodings.lengths)
        if any(BAD in ids for ids in encodings.input_ids):
            raise RuntimeError("index out of range")
        return [Result((1.0,), ids[0], (ids[0],), (0.0,), len(ids), (len(ids),)) for ids in encodings.input_ids]


def reading(engine: Any, *texts: Sequence[int], done: Callable[[Reading], None] = lambda _: None) -> Reading:
    ids = [list(text) for text in texts]
    return Reading(engine, Encodings(ids, None, [[0] * len(text) for text in ids], [False] * len(ids)), done)


def lengths(batch: Sequence[Item] | None) -> list[int]:
    assert batch is not None
    return [item.tokens for item in batch]


def test_first_in_first_out_up_to_the_budget() -> None:
    queue = TokenQueue()
    queue.put(reading("engine", [0] * 4, [0] * 3))
    queue.put(reading("engine", [0] * 3, [0] * 9))
    queue.put(reading("engine", [0]))
    assert (len(queue), queue.tokens) == (5, 20)
    assert lengths(queue.take(10)) == [4, 3, 3]
    assert lengths(queue.take(10)) == [9, 1]
    assert (len(queue), queue.tokens) == (0, 0)


def test_a_longer_text_comes_alone() -> None:
    queue = TokenQueue()
    queue.put(reading("engine", [0] * 30, [0], [0] * 30, [0]))
    assert [lengths(queue.take(10)) for _ in range(4)] == [[30], [1], [30], [1]]


def test_texts_of_clients_that_left_are_skipped() -> None:
    queue = TokenQueue()
    stays, leaves, last = reading("engine", [0] * 4), reading("engine", [0] * 8, [0] * 8), reading("engine", [0] * 4)
    for each in (stays, leaves, last):
        queue.put(each)
    leaves.left = True
    queue.close()
    batch = queue.take(10)
    assert batch is not None
    assert [item.reading for item in batch] == [stays, last]
    assert (len(queue), queue.tokens) == (0, 0)


def test_engines_are_not_mixed() -> None:
    queue = TokenQueue()
    for engine in ("old", "new", "new", "old"):
        queue.put(reading(engine, [0]))
    queue.close()
    batches = [queue.take(10) for _ in range(3)]
    assert [[item.reading.engine for item in batch or ()] for batch in batches] == [["old"], ["new", "new"], ["old"]]


def test_a_closed_queue_gives_what_it_has_and_takes_no_more() -> None:
    queue = TokenQueue()
    assert queue.put(reading("engine", [0]))
    queue.close()
    assert not queue.put(reading("engine", [0]))
    assert lengths(queue.take(10)) == [1]
    assert queue.take(10) is None


def test_taking_waits_until_there_is_something() -> None:
    queue, taken = TokenQueue(), []
    thread = threading.Thread(target=lambda: taken.extend((queue.take(10), queue.take(10))))
    thread.start()
    queue.put(reading("engine", [0, 0]))
    queue.close()
    thread.join(60)
    assert lengths(taken[0]) == [2]
    assert taken[1] is None


class Running:
    """A model thread with its queue, and how often each reading was done."""

    def __init__(self, budget: int) -> None:
        self.queue, self.engine = TokenQueue(), FakeEngine()
        self.metrics = Metrics(self.queue.__len__)
        self.thread = ModelThread(self.queue, budget, self.metrics)
        self.done: list[Reading] = []

    def reading(self, *texts: Sequence[int]) -> Reading:
        return reading(self.engine, *texts, done=self.done.append)

    def run(self, *readings: Reading) -> None:
        """Read them, with all of them in the queue before."""
        for each in readings:
            assert self.queue.put(each)
        self.queue.close()
        self.thread.start()
        self.thread.join(60)
        assert not self.thread.is_alive()


def test_each_reading_is_done_once_with_its_own_results() -> None:
    running = Running(budget=5)
    readings = [running.reading([1, 1], [2], [3] * 4), running.reading([4]), running.reading([5] * 9, [6])]
    running.run(*readings)
    assert running.done == readings
    assert [[result and result.label for result in each.results] for each in readings] == [[1, 2, 3], [4], [5, 6]]
    assert running.engine.batches == [[2, 1], [4, 1], [9], [1]]
    assert all(0 < each.arrived <= each.began for each in readings)


def test_a_text_that_cannot_be_read_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    running = Running(budget=100)
    good, bad, last = running.reading([1], [2]), running.reading([3], [BAD], [4], [BAD]), running.reading([5])
    running.run(good, bad, last)
    assert sorted(running.done, key=[good, bad, last].index) == [good, bad, last], "each of them once"
    assert isinstance(bad.error, RuntimeError)
    assert good.error is None and last.error is None
    assert [result and result.label for result in [*good.results, *last.results]] == [1, 2, 5]
    assert "a text of 1 tokens cannot be read" in caplog.text


def test_a_model_that_was_replaced_is_let_go() -> None:
    """The thread waits for the next batch, and holds nothing of the last."""
    import gc
    import weakref

    running = Running(budget=10)
    running.thread.start()
    done = threading.Event()
    own = reading(running.engine, [1], done=lambda _: done.set())
    engine = weakref.ref(running.engine)
    running.queue.put(own)
    assert done.wait(60)
    del own
    running.engine = FakeEngine()
    wait_until(lambda: gc.collect() >= 0 and engine() is None)
    running.queue.close()
    running.thread.join(60)
