"""A server's life: loading, reloading, stopping, and clients that leave or are slow."""

import asyncio
import signal
import threading
from typing import Any

import pytest
import uvicorn

from tokensieve.errors import CheckpointError
from tokensieve.serve.app import create_app
from tokensieve.serve.refusal import RefusedError
from tokensieve.serve.run import run as serve
from tokensieve.serve.service import Service
from tokensieve.serve.settings import ServeSettings
from unit.serve.asgi import HOW, Gate, app_of, labels_of, living, nothing_left, predict, send, until
from unit.serve.tiny_served import TEXTS


def test_a_client_that_leaves_is_not_read_and_stops_nobody(plain: Any) -> None:
    async def run() -> None:
        app, service = app_of(plain)
        async with living(app):
            await until(lambda: service.is_ready)
            gate, leave = Gate(service.served), asyncio.Event()  # type: ignore[arg-type]
            first = asyncio.ensure_future(predict(app, "the film"))
            await until(gate.is_in.is_set)
            leaver = asyncio.ensure_future(predict(app, "a b c d e", "f g", last=leave.wait()))
            await until(lambda: len(service._queue) == 2)
            stays = asyncio.ensure_future(predict(app, "the law", "goal goal"))
            await until(lambda: len(service._queue) == 4)
            assert service._active == 5
            leave.set()
            assert (await leaver).status == 499
            await until(lambda: service._active == 3)
            gate.may_read.set()
            assert len(labels_of(await first)) == 1
            assert len(labels_of(await stays)) == 2
            assert gate.seen == [[4], [4, 4]]
            assert nothing_left(service)
            text = service.metrics.text().decode()
            assert 'te_request_failure{err="left"} 1.0' in text
            assert 'tokensieve_refused{status="499"} 1.0' in text

    asyncio.run(run())


def test_a_client_that_leaves_while_its_text_is_read_or_tokenized(plain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        app, service = app_of(plain)
        async with living(app):
            await until(lambda: service.is_ready)
            gate, leave = Gate(service.served), asyncio.Event()  # type: ignore[arg-type]
            leaver = asyncio.ensure_future(predict(app, "the film", last=leave.wait()))
            await until(gate.is_in.is_set)
            leave.set()
            assert (await leaver).status == 499
            gate.may_read.set()
            assert len(labels_of(await predict(app, "the law"))) == 1
            may_tokenize, prepare = threading.Event(), service.served.prepare  # type: ignore[union-attr]

            def slow(*arguments: Any) -> Any:
                assert may_tokenize.wait(60)
                return prepare(*arguments)

            monkeypatch.setattr(service.served, "prepare", slow)
            leave.clear()
            leavers = [asyncio.ensure_future(predict(app, "the film", last=leave.wait())) for _ in range(3)]
            await until(lambda: service._active == 3)
            leave.set()
            assert [(await leaver).status for leaver in leavers] == [499] * 3
            may_tokenize.set()
            assert len(labels_of(await predict(app, "the law"))) == 1
            await until(lambda: nothing_left(service))

    asyncio.run(run())


def test_a_client_that_leaves_within_its_body(plain: Any) -> None:
    async def run() -> None:
        app, service = app_of(plain)
        async with living(app):
            await until(lambda: service.is_ready)
            gone = asyncio.Event()
            gone.set()
            answer = await send(app, "/predict", b'{"texts": ', last=gone.wait(), whole=False)
            assert answer.status == 499
            assert len(labels_of(await predict(app, "the law"))) == 1

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/predict", "/classify", "/v2/models/tiny/infer"])
def test_a_body_that_does_not_end(plain: Any, path: str) -> None:
    async def run() -> None:
        app, service = app_of(plain, body_seconds=0.05)
        async with living(app):
            await until(lambda: service.is_ready)
            answer = await send(app, path, b'{"texts": ', whole=False)
            assert answer.status == 408
            assert answer.headers[b"connection"] == b"close"
            assert "did not arrive within 0.05 seconds" in str(answer.json()["error"])

    asyncio.run(run())


def test_permits_are_taken_and_given_back(plain: Any) -> None:
    async def run() -> None:
        app, service = app_of(plain, max_concurrent_requests=3)
        async with living(app):
            await until(lambda: service.is_ready)
            gate = Gate(service.served)  # type: ignore[arg-type]
            first = asyncio.ensure_future(predict(app, "a", "b"))
            await until(gate.is_in.is_set)
            assert (await predict(app, "c", "d")).status == 429
            last = asyncio.ensure_future(predict(app, "c"))
            await until(lambda: service._active == 3)
            assert (await predict(app, "d")).status == 429
            gate.may_read.set()
            assert len(labels_of(await first)) == 2
            assert len(labels_of(await last)) == 1
            assert nothing_left(service)

    asyncio.run(run())


def test_a_stop_while_the_model_is_loaded_does_not_wait_for_it() -> None:
    may_load, is_loading = threading.Event(), threading.Event()

    def load() -> Any:
        is_loading.set()
        assert may_load.wait(60)
        raise CheckpointError("too late")

    async def run() -> None:
        app, service = app_of(load)
        async with living(app):
            await until(is_loading.is_set)
        assert not service.is_ready
        assert service.failure is None
        assert not may_load.is_set(), "it has not waited"
        may_load.set()

    asyncio.run(run())


def test_a_load_that_fails_is_told() -> None:
    def load() -> Any:
        raise CheckpointError("nothing there")

    async def run() -> None:
        failed = asyncio.Event()
        app = create_app(ServeSettings("tiny"), load, on_failure=failed.set)
        async with living(app):
            await asyncio.wait_for(failed.wait(), 60)
            assert (await predict(app, "a")).status == 503
        assert isinstance(app.state.service.failure, CheckpointError)

    asyncio.run(run())


def test_a_stop_answers_what_was_accepted_and_refuses_the_rest(plain: Any) -> None:
    async def run() -> None:
        service = Service(ServeSettings("tiny"), plain)
        await service.start()
        gate = Gate(service.served)  # type: ignore[arg-type]
        accepted = [asyncio.ensure_future(service.classify(TEXTS[:1], HOW))]
        await until(gate.is_in.is_set)
        accepted += [asyncio.ensure_future(service.classify([text], HOW)) for text in TEXTS[1:]]
        await until(lambda: len(service._queue) == len(TEXTS) - 1)
        stopping = asyncio.ensure_future(asyncio.to_thread(service.stop))
        await until(lambda: service._queue._closed)
        with pytest.raises(RefusedError) as refused:
            await service.classify(["late"], HOW)
        assert refused.value.status == 503
        gate.may_read.set()
        assert len([await each for each in accepted]) == len(TEXTS)
        await stopping
        with pytest.raises(RefusedError) as refused:
            await service.classify(["later"], HOW)
        assert refused.value.status == 503
        assert nothing_left(service)

    asyncio.run(run())


def test_a_loop_that_is_closed_while_the_model_reads(plain: Any) -> None:
    """The thread goes on, and answers whoever comes next."""
    service = Service(ServeSettings("tiny"), plain)
    asyncio.run(service.start())
    gate = Gate(service.served)  # type: ignore[arg-type]

    async def leave() -> None:
        asyncio.ensure_future(service.classify(["the film"], HOW))  # noqa: RUF006
        await until(gate.is_in.is_set)

    asyncio.run(leave())
    gate.may_read.set()
    _, (result,) = asyncio.run(asyncio.wait_for(service.classify(["the law"], HOW), 20))
    assert result.length == 4
    assert service.is_ready
    service.stop()


def test_a_signal_before_uvicorn_heeds_signals(plain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops the server: it is neither lost nor the end of the process."""
    run = uvicorn.Server.run

    def signalled(self: uvicorn.Server, sockets: Any) -> None:
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
        run(self, sockets)

    monkeypatch.setattr(uvicorn.Server, "run", signalled)
    before = signal.getsignal(signal.SIGTERM)
    serve(ServeSettings("tiny"), plain, host="127.0.0.1", port=0, folder=None)
    assert signal.getsignal(signal.SIGTERM) == before
