"""Clients that load a server: each sends its next request when it has the answer to the last one.

The client shares the processor with the server that it measures. So it writes requests that were made before, over
plain sockets, and looks at answers when all is over.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass
class Answer:
    """What came back of a request.

    Attributes:
        text: its number.
        seconds: until all of it was there.
        status: of HTTP; 0: the connection was closed.
        body: as it came.
    """

    text: int
    seconds: float
    status: int
    body: bytes

    def json(self) -> Any:
        """The body as it reads."""
        return json.loads(self.body)


async def load(port: int, texts: Sequence[str], clients: int, requests: int) -> tuple[float, list[Answer]]:
    """Send `requests` requests, text after text; the seconds that all took, and the answers."""
    bodies = [request_of(text) for text in texts]
    numbers = iter(range(requests))
    answers: list[Answer] = []
    start = time.perf_counter()
    await asyncio.gather(*(_client(port, bodies, numbers, answers) for _ in range(clients)))
    return time.perf_counter() - start, answers


def request_of(text: str) -> bytes:
    """The bytes of a request to classify a text."""
    body = json.dumps({"inputs": text}).encode()
    head = (
        f"POST /predict HTTP/1.1\r\nHost: server\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    )
    return head.encode() + b"\r\n" + body


async def _client(port: int, bodies: Sequence[bytes], numbers: Any, answers: list[Answer]) -> None:
    connection = None
    for number in numbers:
        text = number % len(bodies)
        start = time.perf_counter()
        connection = connection or await _connected(port)
        try:
            status, body = await exchange(*connection, bodies[text])
        except (OSError, asyncio.IncompleteReadError):
            connection, status, body = None, 0, b""
        if status == 503:
            await asyncio.sleep(1)  # as its Retry-After says
        answers.append(Answer(text, time.perf_counter() - start, status, body))
    if connection is not None:
        connection[1].close()


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection, as soon as there is a server that takes it."""
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, bytes]:
    """Send a request over an open connection; status and body of the answer."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    size = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length:"))
    return int(lines[0].split()[1]), await reader.readexactly(size)
