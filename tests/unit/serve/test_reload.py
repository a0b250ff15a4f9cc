"""A model that is replaced: who is answered by which, and what cannot be read is passed over."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tokensieve
from tokensieve.errors import CheckpointError
from tokensieve.serve import reload
from tokensieve.serve.app import create_app, loader
from tokensieve.serve.served import Served
from tokensieve.serve.service import Service
from tokensieve.serve.settings import ServeSettings
from unit.serve.asgi import HOW, Gate, app_of, labels_of, living, predict, until


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
