"""Requests to an application without a socket: the sender decides what arrives, and when it leaves."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tokensieve.data.tokenize import Encodings
from tokensieve.serve.app import create_app
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
        assert self.may_read.wait(60)
        self.seen.append(encodings.lengths)
        return self._read(encodings)


@dataclass
class Answer:
    """What came back: nothing as long as `status` is 0."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@asynccontextmanager
async def living(app: Any) -> AsyncIterator[None]:
    """The application between its start and its end."""
    async with app.router.lifespan_context(app):
        yield


async def until(is_so: Callable[[], bool]) -> None:
    """Wait, while others go on."""
    for _ in range(6000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to be")


async def send(app: Any, path: str, *parts: bytes, last: Awaitable[Any] | None = None, whole: bool = True) -> Answer:
    """Send a body in parts.

    Args:
        app: the application.
        path: to which.
        parts: of the body.
        last: when it is done the client leaves; None: it stays.
        whole: whether the body is complete after the parts.
    """
    left: list[dict[str, Any]] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if whole:
        left[-1]["more_body"] = False
    answer = Answer()

    async def receive() -> dict[str, Any]:
        if left:
            return left.pop(0)
        await (asyncio.Event().wait() if last is None else last)
        return {"type": "http.disconnect"}

    async def give(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status, answer.headers = message["status"], dict(message["headers"])
        else:
            answer.body += message.get("body", b"")

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, give)
    return answer


async def predict(app: Any, *texts: str, last: Awaitable[Any] | None = None) -> Answer:
    """Send texts to /predict."""
    return await send(app, "/predict", json.dumps({"texts": texts, "details": True}).encode(), last=last)


def app_of(load: Callable[[], Served], **settings: Any) -> tuple[Any, Service]:
    app = create_app(ServeSettings("tiny", **settings), load)
    return app, app.state.service


def labels_of(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [own["label"] for own in answer.json()]


def nothing_left(service: Service) -> bool:
    return (service._active, len(service._queue), service._queue.tokens) == (0, 0, 0)
