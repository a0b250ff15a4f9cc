"""The queue: texts wait in the order in which they came, and leave it by a budget of packed tokens.

There is no timer. While the model reads, what comes waits; when it is done, it takes all that waits, up to the budget.
So a server with little to do answers at once, and a busy one reads in full batches.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokensieve.data.tokenize import Encodings
from tokensieve.runtime.results import Result

OnDone = Callable[["Reading"], None]


@dataclass(eq=False, slots=True)
class Reading:
    """The texts of one request that the encoder reads.

    Attributes:
        engine: that reads them.
        encodings: their tokens.
        on_done: called once, in the model's thread, when all have their results, or one has failed.
        results: of each; None: not yet.
        error: why they have none.
        left: whether the client has gone; what was not begun is not read.
        arrived: when they were put in the queue, by `time.perf_counter`.
        began: when the first of them left it.
    """

    engine: Any
    encodings: Encodings
    on_done: OnDone
    results: list[Result | None] = field(default_factory=list)
    error: Exception | None = None
    left: bool = False
    arrived: float = field(default_factory=time.perf_counter)
    began: float = 0.0
    missing: int = 0

    def __post_init__(self) -> None:
        self.results = [None] * len(self.encodings)
        self.missing = len(self.encodings)


@dataclass(eq=False, slots=True)
class Item:
    """A text in the queue: the row of a reading."""

    reading: Reading
    row: int
    tokens: int


class TokenQueue:
    """First in, first out; any thread may put, and one takes.

    Attributes:
        tokens: of the texts that wait.
    """

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.tokens = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, reading: Reading) -> bool:
        """Let the texts of a request wait; False: the queue is closed, and nobody will read them."""
        items = [Item(reading, row, length) for row, length in enumerate(reading.encodings.lengths)]
        with self._changed:
            if self._closed:
                return False
            self._items.extend(items)
            self.tokens += sum(item.tokens for item in items)
            self._changed.notify()
            return True

    def take(self, budget: int) -> Sequence[Item] | None:
        """The next texts for one engine, of `budget` tokens together at most; a longer text comes alone.

        It waits until there are some. Texts of clients that left are thrown away.

        Returns:
            One or more; None: the queue is closed, and empty.
        """
        with self._changed:
            while True:
                if batch := self._next(budget):
                    return batch
                if self._closed:
                    return None
                self._changed.wait()

    def close(self) -> None:
        """Let `take` return None once the queue is empty."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next(self, budget: int) -> list[Item]:
        batch: list[Item] = []
        total = 0
        while self._items:
            item = self._items[0]
            is_full = total + item.tokens > budget or (batch and item.reading.engine is not batch[0].reading.engine)
            if batch and is_full and not item.reading.left:
                break
            self._items.popleft()
            self.tokens -= item.tokens
            if not item.reading.left:
                batch.append(item)
                total += item.tokens
        return batch
