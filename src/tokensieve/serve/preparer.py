"""Requests are prepared in one thread: tokenized, and answered by the bag of words if there is one.

The thread takes all requests that wait, up to a limit, and prepares them together: a bag of words needs a third of the
time a text when it gets several.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from tokensieve.runtime.classifier import Text
from tokensieve.runtime.engine import Prepared
from tokensieve.serve.refusal import STOPPED, not_ready
from tokensieve.serve.served import HowToRead, Served

MOST_TEXTS = 64
"""Texts that are prepared together, at most. The first of them waits for the last."""


@dataclass(frozen=True, eq=False, slots=True)
class _Waiting:
    served: Served
    texts: Sequence[Text]
    how: HowToRead
    future: asyncio.Future[Prepared]

    def fits(self, first: _Waiting) -> bool:
        """Whether it can be prepared together with another request."""
        return self.served is first.served and self.how == first.how


class Preparer:
    """Prepares requests; used from one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, "tokensieve-tokenizer")  # a tokenizer serves one call at a time

    async def prepare(self, served: Served, texts: Sequence[Text], how: HowToRead) -> Prepared:
        """As `Served.prepare`. A request whose client leaves before its turn is not prepared.

        Raises:
            RefusedError: as `Served.prepare`; 503, if the server stops first.
        """
        loop = asyncio.get_running_loop()
        request = _Waiting(served, texts, how, loop.create_future())
        self._waiting.append(request)
        try:
            self._thread.submit(self._prepare_next, loop)
        except RuntimeError as error:  # the thread has ended
            raise not_ready(STOPPED) from error
        return await request.future

    def stop(self) -> None:
        """End the thread; requests that wait are refused."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        with suppress(IndexError):  # the thread may take the last one meanwhile, and answer it
            while True:
                request = self._waiting.popleft()
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    loop = request.future.get_loop()
                    loop.call_soon_threadsafe(_give, [request], [not_ready(STOPPED)])

    def _prepare_next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Prepare what waits; nothing if an earlier call has done so."""
        if requests := self._take():
            first = requests[0]
            found = first.served.prepare_together([request.texts for request in requests], first.how)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_give, requests, found)

    def _take(self) -> list[_Waiting]:
        """The first requests that can be prepared together, in the order in which they came."""
        requests: list[_Waiting] = []
        total = 0
        while self._waiting:
            request = self._waiting[0]
            total += len(request.texts)
            if requests and (total > MOST_TEXTS or not request.fits(requests[0])):
                break
            self._waiting.popleft()
            if not request.future.cancelled():
                requests.append(request)
        return requests


def _give(requests: Sequence[_Waiting], found: Sequence[Prepared | Exception]) -> None:
    for request, result in zip(requests, found, strict=True):
        if request.future.done():  # its client has left
            continue
        if isinstance(result, Exception):
            request.future.set_exception(result)
        else:
            request.future.set_result(result)
