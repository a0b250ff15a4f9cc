"""A server's life: loading, reloading, stopping, and clients that leave or are slow."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asgi import Answer, living, predict, send, until
from tiny_served import TEXTS

import tokensieve
from tokensieve.data.tokenize import Encodings
from tokensieve.errors import CheckpointError
from tokensieve.serve import reload
from tokensieve.serve.app import create_app, loader
from tokensieve.serve.refusal import RefusedError
from tokensieve.serve.served import HowToRead, Served
from tokensieve.serve.service import Service
from tokensieve.serve.settings import ServeSettings

HOW = HowToRead(truncate=True)


class Gate:
    """An engine's `read` that waits until it may; `seen` are the lengths of what it was given."""

    def __init__(self, served: Served) -> None:
        self.may_read, self.is_in = threading.Event(), threading.Event()
        self.seen: list[list[int]] = []
        self._read = served.engine.read
        served.engine.read = self  # type: ignore[method-assign, assignment]

    def __call__(self, encodings: Encodings) -> Any:
        self.is_in.set()
        assert self.may_read.wait(30)
        self.seen.append(encodings.lengths)
        return self._read(encodings)


@pytest.fixture
def plain(model_dir: Callable[[str], Path]) -> Callable[[], Served]:
    return loader(str(model_dir("plain")), device="cpu")


def app_of(load: Callable[[], Served], **settings: Any) -> tuple[Any, Service]:
    app = create_app(ServeSettings("tiny", **settings), load)
    return app, app.state.service


def labels_of(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [own["label"] for own in answer.json()]


def nothing_left(service: Service) -> bool:
    return (service._active, len(service._queue), service._queue.tokens) == (0, 0, 0)


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
                assert may_tokenize.wait(30)
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
        assert may_load.wait(30)
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
            await asyncio.wait_for(failed.wait(), 30)
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
    _, (result,) = asyncio.run(service.classify(["the law"], HOW))
    assert result.length == 4
    assert service.is_ready
    service.stop()


def test_a_reload_under_load(save_classifier: Callable[..., Path], tmp_path: Path) -> None:
    """Requests in flight end on the old model, those that come later have the new one."""
    old, new = save_classifier(tmp_path / "old"), save_classifier(tmp_path / "new", combine_layer=3)
    wanted = {
        folder: tokensieve.load(folder, device="cpu").predict_proba(["the film"])[0].tolist() for folder in (old, new)
    }
    assert wanted[old] != pytest.approx(wanted[new], abs=1e-4)
    where = [old]

    async def run() -> None:
        service = Service(ServeSettings("tiny"), lambda: loader(str(where[0]), device="cpu")())
        await service.start()
        gate = Gate(service.served)  # type: ignore[arg-type]
        before = [asyncio.ensure_future(service.classify(["the film"], HOW))]
        await until(gate.is_in.is_set)
        before += [asyncio.ensure_future(service.classify(["the film"], HOW)) for _ in range(2)]
        await until(lambda: len(service._queue) == 2)
        where[0] = new
        assert await service.reload()
        after = [asyncio.ensure_future(service.classify(["the film"], HOW)) for _ in range(3)]
        await until(lambda: len(service._queue) == 5)
        gate.may_read.set()
        for each, folder in ((before, old), (after, new)):
            for _, (result,) in await asyncio.gather(*each):
                assert result.probabilities == pytest.approx(wanted[folder], abs=1e-6)
        await asyncio.to_thread(service.stop)

    asyncio.run(run())


@pytest.mark.parametrize("error", [CheckpointError("no weights"), OSError("no file"), KeyError("x"), MemoryError()])
def test_a_reload_that_fails_keeps_the_old_model(
    plain: Any, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    async def run() -> None:
        loads = [plain]

        def load() -> Served:
            if loads:
                return loads.pop()()
            raise error

        app, service = app_of(load)
        async with living(app):
            await until(lambda: service.is_ready)
            served = service.served
            assert not await service.reload()
            assert service.served is served
            assert len(labels_of(await predict(app, "the law"))) == 1
            assert "tokensieve_reload_failures 1.0" in service.metrics.text().decode()

    asyncio.run(run())
    (said,) = [record.getMessage() for record in caplog.records if "not replaced" in record.getMessage()]
    assert str(error) in said
    assert "\n" not in said


def test_a_folder_that_changes_is_read_again(
    save_classifier: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is replaced, or is a link that points elsewhere; one that is gone or broken is passed over."""
    monkeypatch.setattr(reload, "SECONDS", 0.02)
    old, new = save_classifier(tmp_path / "old"), save_classifier(tmp_path / "new", combine_layer=3)
    link = tmp_path / "current"
    link.symlink_to(old)

    async def run() -> None:
        app = create_app(ServeSettings("tiny"), loader(str(link), device="cpu"), folder=link)
        service: Service = app.state.service

        def count(name: str) -> float:
            lines = service.metrics.text().decode().splitlines()
            return float(next(line for line in lines if line.startswith(f"tokensieve_{name} ")).split()[1])

        async with living(app):
            await until(lambda: service.is_ready)
            first = service.served.info["model_sha"]  # type: ignore[union-attr]
            link.unlink()
            await asyncio.sleep(0.1)
            assert (count("reloads"), count("reload_failures")) == (0, 0), "there is nothing to read"
            link.symlink_to(new)
            await until(lambda: count("reloads") == 1)
            second = service.served.info["model_sha"]  # type: ignore[union-attr]
            assert first != second
            (new / "config.json").write_text("{", encoding="utf-8")
            await until(lambda: count("reload_failures") == 1)
            await asyncio.sleep(0.1)
            assert (count("reloads"), count("reload_failures")) == (1, 1), "one try for each state"
            save_classifier(new)
            await until(lambda: count("reloads") == 2)
            assert service.served.info["model_sha"] == first  # type: ignore[union-attr]

    asyncio.run(run())
