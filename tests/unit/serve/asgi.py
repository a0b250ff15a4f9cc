"""Requests to an application without a socket: the sender decides what arrives, and when it leaves."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]


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
    for _ in range(2000):
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
