"""Requests that wait for the tokenizer are prepared together, and each gets what it would get alone."""

import asyncio
import dataclasses
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import tokensieve
from tokensieve.runtime.engine import Prepared
from tokensieve.serve.preparer import MOST_TEXTS, Preparer
from tokensieve.serve.refusal import RefusedError
from tokensieve.serve.served import HowToRead, Served
from unit.serve.tiny_served import KINDS, TEXTS

TRUNCATED, WHOLE = HowToRead(True), HowToRead(False)


def _served(folder: Path) -> Served:
    return Served(tokensieve.load(folder, device="cpu"), str(folder))


def _results(served: Served, prepared: Prepared) -> list[Any]:
    read = [] if prepared.encodings is None else served.engine.read(prepared.encodings)
    return served.engine.finish(prepared, read)


@pytest.mark.parametrize("kind", KINDS)
def test_requests_together_are_as_each_alone(kind: str, model_dir: Callable[[str], Path]) -> None:
    served = _served(model_dir(kind))
    texts: list[Any] = [(text, "the law") for text in TEXTS] if kind == "pairs" else list(TEXTS)
    requests = [texts[:1], texts[1:4], texts[4:5], texts[5:], texts[2:3]]
    together = served.prepare_together(requests, TRUNCATED)
    assert len(together) == len(requests)
    for request, part in zip(requests, together, strict=True):
        assert isinstance(part, Prepared)
        alone = served.prepare(request, TRUNCATED)
        assert (part.documents, list(part.waiting), part.encodings) == (
            alone.documents,
            list(alone.waiting),
            alone.encodings,
        )
        for own, other in zip(_results(served, part), _results(served, alone), strict=True):
            assert dataclasses.replace(own, probabilities=(), logits=()) == dataclasses.replace(
                other, probabilities=(), logits=()
            )
            assert own.probabilities == pytest.approx(other.probabilities, abs=1e-6)


def test_a_request_that_is_refused_spoils_no_other(model_dir: Callable[[str], Path]) -> None:
    served = _served(model_dir("plain"))
    good, long, pair, broken = ["goal"], [TEXTS[3]], [("goal", "goal")], ["a \ud800"]
    for requests in ([good, long, good], [good, broken, good]):
        first, refused, last = served.prepare_together(requests, WHOLE)
        assert isinstance(refused, RefusedError) and refused.status == 422
        assert isinstance(first, Prepared) and isinstance(last, Prepared)
        assert first.encodings == last.encodings == served.prepare(good, WHOLE).encodings
    pairs = _served(model_dir("pairs"))
    refused, found = pairs.prepare_together([good, pair], WHOLE)
    assert isinstance(refused, RefusedError) and isinstance(found, Prepared)


class Calls:
    """A model that notes which requests are prepared together, and waits before the first call."""

    def __init__(self) -> None:
        self.calls: list[list[Sequence[Any]]] = []
        self.is_in, self.may_begin = threading.Event(), threading.Event()

    def prepare_together(self, requests: Sequence[Sequence[Any]], how: HowToRead) -> list[Any]:
        self.is_in.set()
        assert self.may_begin.wait(60)
        self.calls.append(list(requests))
        return [Prepared(len(request), None, ()) for request in requests]


async def _begun(preparer: Preparer, *requests: tuple[Any, Sequence[str], HowToRead]) -> list[asyncio.Task[Prepared]]:
    """The thread has the first, and the others wait."""
    first, *others = requests
    tasks = [asyncio.create_task(preparer.prepare(*first))]
    assert await asyncio.to_thread(first[0].is_in.wait, 60)
    tasks += [asyncio.create_task(preparer.prepare(*request)) for request in others]
    await asyncio.sleep(0)
    return tasks


def test_what_waits_is_taken_in_its_order_up_to_the_limit() -> None:
    model: Any = Calls()
    other: Any = Calls()
    other.may_begin.set()
    many = ["a"] * (MOST_TEXTS - 1)

    async def run() -> None:
        preparer = Preparer()
        asked = [["first"], ["b"], many, ["c"], ["d"]]
        own = [(model, texts, WHOLE) for texts in asked]
        tasks = await _begun(preparer, *own, (model, ["e"], TRUNCATED), (other, ["f"], WHOLE))
        model.may_begin.set()
        found = await asyncio.gather(*tasks)
        assert [one.documents for one in found] == [1, 1, MOST_TEXTS - 1, 1, 1, 1, 1]
        preparer.stop()

    asyncio.run(run())
    assert model.calls == [[["first"]], [["b"], many], [["c"], ["d"]], [["e"]]]
    assert other.calls == [[["f"]]]


def test_a_client_that_leaves_is_not_prepared() -> None:
    model: Any = Calls()

    async def run() -> None:
        preparer = Preparer()
        tasks = await _begun(preparer, *[(model, [name], WHOLE) for name in ("first", "left", "last")])
        tasks[1].cancel()
        await asyncio.sleep(0)
        model.may_begin.set()
        await asyncio.gather(tasks[0], tasks[2])
        assert tasks[1].cancelled()
        preparer.stop()

    asyncio.run(run())
    assert model.calls == [[["first"]], [["last"]]]


def test_who_waits_when_the_server_stops_is_told_so() -> None:
    model: Any = Calls()

    async def run() -> None:
        preparer = Preparer()
        tasks = await _begun(preparer, *[(model, [name], WHOLE) for name in ("first", "waits")])
        await asyncio.to_thread(preparer.stop)
        model.may_begin.set()
        first, waits = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(first, Prepared)
        assert isinstance(waits, RefusedError) and waits.status == 503
        with pytest.raises(RefusedError, match="it has stopped"):
            await preparer.prepare(model, ["late"], WHOLE)

    asyncio.run(run())
    assert model.calls == [[["first"]]]
