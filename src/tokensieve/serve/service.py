"""The service: texts in, results out, within the server's limits. Web formats are built on it."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tokensieve.errors import TokensieveError
from tokensieve.runtime.classifier import Text
from tokensieve.runtime.results import Result
from tokensieve.serve.metrics import Metrics
from tokensieve.serve.model_thread import ModelThread
from tokensieve.serve.preparer import Preparer
from tokensieve.serve.queue import Reading, TokenQueue
from tokensieve.serve.refusal import BACKEND, STOPPED, RefusedError, not_ready, overloaded, too_large
from tokensieve.serve.served import HowToRead, Served
from tokensieve.serve.settings import ServeSettings

logger = logging.getLogger(__name__)


class Service:
    """A model behind a queue; used from one event loop.

    Args:
        settings: limits.
        load: reads the model from where it is; again at each reload.

    Attributes:
        settings: as given.
        metrics: what was counted.
        served: the model; None: it is not loaded yet.
        failure: why the first load failed; None: it has not.
    """

    def __init__(self, settings: ServeSettings, load: Callable[[], Served]) -> None:
        self.settings, self._load = settings, load
        self.served: Served | None = None
        self.failure: Exception | None = None
        self._queue = TokenQueue()
        self.metrics = Metrics(self._queue.__len__)
        self._model = ModelThread(self._queue, settings.max_batch_tokens, self.metrics)
        self._preparer = Preparer()
        self._loader = ThreadPoolExecutor(1, "tokensieve-loader")
        self._active = 0

    @property
    def is_ready(self) -> bool:
        """Whether texts can be classified."""
        return self.served is not None and self._model.is_alive()

    async def start(self) -> None:
        """Load the model. Until it is there, requests are refused with 503.

        Raises:
            TokensieveError: as the load does; `failure` keeps it.
        """
        try:
            self.served = await self._loaded()
        except Exception as error:
            self.failure = error
            raise
        self._model.start()

    async def reload(self) -> bool:
        """Load the model anew, and let requests that come from now on have it; the old one ends what it has begun.

        Returns:
            Whether it was replaced. If it cannot be loaded the old one stays, and the log says why.
        """
        try:
            self.served = await self._loaded()
        except Exception as error:  # a broken file raises what its reader does, and the old model is still good
            what = str(error) if isinstance(error, (TokensieveError, OSError)) else f"{type(error).__name__}: {error}"
            logger.error("the model was not replaced: %s", " ".join(what.split()))
            self.metrics.reloaded(well=False)
            return False
        logger.info("the model was replaced: sha256 %s", self.served.info["model_sha"])
        self.metrics.reloaded(well=True)
        return True

    async def _loaded(self) -> Served:
        def load() -> Served:
            served = self._load()
            served.warm_up()
            _ = served.info  # hashes the weights: not in the first request for it
            return served

        return await asyncio.get_running_loop().run_in_executor(self._loader, load)

    def stop(self) -> None:
        """End the threads, once what is in the queue has its answer."""
        self._queue.close()
        if self._model.is_alive():
            self._model.join()
        self._preparer.stop()
        self._loader.shutdown(wait=False, cancel_futures=True)

    async def classify(self, texts: Sequence[Text], how: HowToRead) -> tuple[Served, list[Result]]:
        """The model that answered, and a result for each text, in their order.

        Cancel it where the client has left: what the model has not begun is not read.

        Raises:
            RefusedError: 413, 422, 424, 429 or 503.
        """
        begun = time.perf_counter()
        self.metrics.request(len(texts))
        try:
            served, results = await self._within_limits(texts, how)
        except BaseException as error:
            self.metrics.failure(_kind(error))
            raise
        self.metrics.results(results)
        self.metrics.success(len(texts), time.perf_counter() - begun)
        return served, results

    async def _within_limits(self, texts: Sequence[Text], how: HowToRead) -> tuple[Served, list[Result]]:
        served, count = self.served, len(texts)
        if served is None or not self.is_ready:
            raise not_ready("it is being loaded" if served is None else STOPPED)
        for option in (
            "max_client_batch_size",
            "max_concurrent_requests",
        ):  # by the second it would be refused for ever
            if count > (most := getattr(self.settings, option)):
                flag = option.replace("_", "-")
                raise too_large(f"batch size {count} > maximum allowed batch size {most} (--{flag})")
        served = served.at(how.speed, self.settings.max_speed)
        if self._active + count > self.settings.max_concurrent_requests:
            raise overloaded(self.settings.max_concurrent_requests)
        self._active += count
        try:
            results = await self._classify(served, texts, how)
        finally:
            self._active -= count
        if not all(math.isfinite(number) for result in results for number in (*result.probabilities, *result.logits)):
            raise RefusedError(424, BACKEND, "the model's answer is not a number: its weights are damaged")
        return served, results

    async def _classify(self, served: Served, texts: Sequence[Text], how: HowToRead) -> list[Result]:
        begun = time.perf_counter()
        loop = asyncio.get_running_loop()
        prepared = await self._preparer.prepare(served, texts, how)
        encodings = prepared.encodings
        self.metrics.tokenized(time.perf_counter() - begun, 0 if encodings is None else encodings.truncated)
        if encodings is None:
            return served.engine.finish(prepared, [])
        done: asyncio.Future[None] = loop.create_future()

        def set_done() -> None:
            if not done.done():
                done.set_result(None)

        def wake(_: Reading) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(set_done)

        reading = Reading(served.engine, encodings, wake)
        if not self._queue.put(reading):
            raise not_ready(STOPPED)
        try:
            await done
        finally:
            reading.left = True
        if reading.error is not None:
            raise RefusedError(424, BACKEND, f"the model cannot read it: {type(reading.error).__name__}")
        self.metrics.read(reading.began - reading.arrived, time.perf_counter() - reading.began)
        return served.engine.finish(prepared, [result for result in reading.results if result is not None])


def _kind(error: BaseException) -> str:
    """The kind of a failure, as the metrics have it."""
    if isinstance(error, RefusedError):
        return error.kind
    return "left" if isinstance(error, asyncio.CancelledError) else "internal"
