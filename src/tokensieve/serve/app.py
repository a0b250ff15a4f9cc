"""The web application: its endpoints, and the model's life beside it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from tokensieve.serve.formats import about, kserve, tei, vllm
from tokensieve.serve.openapi import description, page
from tokensieve.serve.reload import Reloader
from tokensieve.serve.served import Served
from tokensieve.serve.service import Service
from tokensieve.serve.settings import ServeSettings
from tokensieve.serve.web import called, not_routed
from tokensieve.serve.weights import copy_weights

ENDPOINTS = (*tei.ENDPOINTS, *vllm.ENDPOINTS, *kserve.ENDPOINTS, *about.ENDPOINTS)


def create_app(
    settings: ServeSettings,
    load: Callable[[], Served],
    *,
    folder: Path | None = None,
    on_failure: Callable[[], None] = lambda: None,
) -> Starlette:
    """An ASGI application that serves a model; `app.state.service` is its service.

    Args:
        settings: limits.
        load: reads the model; called in a thread, at the start and at each reload.
        folder: of the model; it is read again when its files change. None: only on SIGHUP.
        on_failure: called if the first load fails; `service.failure` says why.
    """
    service = Service(settings, load)

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        reloader = Reloader(service, folder)
        task = asyncio.ensure_future(_start(service, reloader, on_failure))
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError, AttributeError, RuntimeError, ValueError):  # Windows, or another thread
            loop.add_signal_handler(signal.SIGHUP, reloader.ask)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.to_thread(service.stop)

    routes = [Route(each.path, called(each, service), methods=[each.method]) for each in ENDPOINTS]
    app = Starlette(routes=routes, lifespan=life, exception_handlers={HTTPException: not_routed})
    app.router.redirect_slashes = False  # a path that there is not is a 404 for every method
    app.state.service = service
    app.state.openapi = description(ENDPOINTS, settings.name, has_key=settings.api_key is not None)
    app.state.docs = page(app.state.openapi)
    return app


async def _start(service: Service, reloader: Reloader, on_failure: Callable[[], None]) -> None:
    try:
        await service.start()
    except Exception:
        on_failure()
        return
    await reloader.run()


def loader(model: str, **options: object) -> Callable[[], Served]:
    """What reads a model: `options` as `tokensieve.load` takes them."""
    return partial(_load, model, options)


def _load(model: str, options: dict[str, object]) -> Served:
    from tokensieve.runtime.load import load

    classifier = load(model, **options)  # type: ignore[arg-type]
    copy_weights(classifier.model)
    return Served(classifier, model)
