"""The thread in which the model reads: the only one that runs it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from tokensieve.data.tokenize import joined
from tokensieve.runtime.results import Result
from tokensieve.serve.metrics import Metrics
from tokensieve.serve.queue import Item, TokenQueue

logger = logging.getLogger(__name__)


class ModelThread(threading.Thread):
    """Takes batches from a queue until it is closed.

    Args:
        queue: of texts.
        budget: most tokens that are read together.
        metrics: told of every batch.
    """

    def __init__(self, queue: TokenQueue, budget: int, metrics: Metrics) -> None:
        super().__init__(name="tokensieve-model", daemon=True)
        self.queue, self.budget, self.metrics = queue, budget, metrics

    def run(self) -> None:
        """Read batch after batch."""
        while (batch := self.queue.take(self.budget)) is not None:
            self.metrics.batch(len(batch), sum(item.tokens for item in batch))
            self._answer(batch)
            del batch  # it holds texts, and maybe the last reference to a model that was replaced

    def _answer(self, batch: Sequence[Item]) -> None:
        """Give every text of a batch its result. Where the engine fails, each is read alone: one may be to blame."""
        begun = time.perf_counter()
        for item in batch:
            item.reading.began = item.reading.began or begun
        try:
            results = _read(batch)
        except Exception as error:
            if len(batch) > 1:
                for item in batch:
                    self._answer([item])
                return
            # The text of the error stays out of the log: it may quote a document.
            logger.error("a text of %d tokens cannot be read: %s", batch[0].tokens, type(error).__name__)
            _fail(batch[0], error)
            return
        for item, result in zip(batch, results, strict=True):
            _give(item, result)


def _read(batch: Sequence[Item]) -> list[Result]:
    results: list[Result] = batch[0].reading.engine.read(joined([(item.reading.encodings, item.row) for item in batch]))
    return results


def _give(item: Item, result: Result) -> None:
    reading = item.reading
    reading.results[item.row] = result
    reading.missing -= 1
    if not reading.missing and reading.error is None:
        reading.on_done(reading)


def _fail(item: Item, error: Exception) -> None:
    reading = item.reading
    reading.missing -= 1
    if reading.error is None:
        reading.error, reading.left = error, True  # its other texts are thrown away
        reading.on_done(reading)
