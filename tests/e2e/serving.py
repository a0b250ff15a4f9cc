"""A server as a process, and clients of it."""

import http.client
import json
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tokensieve
from e2e.conftest import LABELS, heed_interrupts

TOKENSIEVE = str(Path(sys.executable).with_name("tokensieve"))
WORDS = [
    *("the", "a", "of", "good", "bad", "film", "court", "goal"),
    *("market", "team", "law", "share", "player", "price", "judge"),
]
Wanted = dict[str, list[float]]


def texts_of(count: int, seed: int = 0) -> list[str]:
    generator = random.Random(seed)
    return [" ".join(generator.choices(WORDS, k=generator.choice([1, 2, 5, 20, 60, 90]))) for _ in range(count)]


TEXTS = texts_of(40)


def offline(folder: Path, texts: Sequence[str] = TEXTS) -> Wanted:
    """What each text's probabilities are without a server."""
    rows = tokensieve.load(folder, device="cpu").predict_proba(list(texts)).tolist()
    return dict(zip(texts, rows, strict=True))


class Server:
    """A server's process; its log is in a file."""

    def __init__(self, folder: Path, log: Path, *options: str, port: int = 0) -> None:
        self.log = log
        command = [TOKENSIEVE, "serve", "--model", str(folder), "--port", str(port), "--threads", "1", *options]
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--device", "cpu"], stdout=out, stderr=out, preexec_fn=heed_interrupts
            )
        self.port = int(self.until(lambda: re.search(r"http://127\.0\.0\.1:(\d+)", self.said()))[1])
        self.until(self.is_ready)

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def until(self, find: Callable[[], Any]) -> Any:
        """What is found, as soon as it is."""
        deadline = time.monotonic() + 60
        while not (found := find()):
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.02)
        return found

    def is_ready(self) -> bool:
        try:
            return self.get("/health")[0] == 200
        except OSError:
            return False

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def count(self, name: str) -> float:
        """A metric, of all its labels together."""
        return sum(
            float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", self.get("/metrics")[1], re.MULTILINE)
        )

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def serving(folder: Path, log: Path, *options: str, port: int = 0) -> Iterator[Server]:
    server = Server(folder, log, *options, port=port)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait(30)
    assert "Traceback" not in server.said()


class Client:
    """A connection that stays, and asks in whatever format."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, path: str, body: Any) -> tuple[int, Any]:
        self.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        return response.status, json.loads(response.read())

    def classify(self, name: str, texts: Sequence[str], how: int) -> list[list[float]]:
        """Probabilities of each text, in the order of the labels."""
        if how == 0:
            status, answer = self.ask("/predict", {"texts": texts})
            rows = [{row["label"]: row["score"] for row in own} for own in answer]
            found = [[row[label] for label in LABELS] for row in rows]
        elif how == 1:
            status, answer = self.ask("/classify", {"input": texts})
            found = [row["probs"] for row in answer["data"]]
        else:
            tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
            status, answer = self.ask(f"/v2/models/{name}/infer", {"inputs": [tensor]})
            (numbers,) = [own["data"] for own in answer["outputs"] if own["name"] == "probabilities"]
            found = [numbers[start : start + 3] for start in range(0, len(numbers), 3)]
        assert status == 200
        return found


def load(port: int, name: str, clients: int, requests: int, until: Callable[[], bool] = lambda: False) -> list[Any]:
    """Pairs of text and probabilities that clients got who ask at once, each in all the formats."""

    def run(number: int) -> list[Any]:
        client, generator, found = Client(port), random.Random(number), []
        for turn in range(requests):
            if until():
                break
            texts = generator.sample(TEXTS, generator.randint(1, 6))
            found += zip(texts, client.classify(name, texts, turn % 3), strict=True)
        client.connection.close()
        return found

    with ThreadPoolExecutor(clients) as pool:
        return [pair for own in pool.map(run, range(clients)) for pair in own]


def leave(port: int, number: int) -> None:
    """Send a request, or a part of it, and close the connection without waiting."""
    body = json.dumps({"texts": TEXTS[:20]}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        whole = head + body
        connection.sendall(whole[: len(whole) // 2] if number % 3 == 0 else whole)
