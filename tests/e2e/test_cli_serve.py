"""`tokensieve serve` as a process: clients at once, clients that leave, signals, folders that are replaced, errors."""

import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import tokensieve
from e2e.conftest import LABELS, Cli

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
            self.process = subprocess.Popen([*command, "--device", "cpu"], stdout=out, stderr=out)
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


@pytest.fixture(scope="module")
def server(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Of the classifier of three labels, for tests that leave it as it is."""
    with serving(classifier, tmp_path_factory.mktemp("log") / "log", "--payload-limit", "50000") as found:
        yield found
        assert found.process.poll() is None


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


def test_clients_at_once_get_what_is_theirs_while_others_leave(server: Server, classifier: Path) -> None:
    wanted, before = offline(classifier), server.count("te_request_success")
    leaving = threading.Thread(target=lambda: [leave(server.port, number) for number in range(60)])
    leaving.start()
    found = load(server.port, classifier.name, clients=8, requests=12)
    leaving.join()
    assert len(found) > 8 * 12
    for text, probabilities in found:
        assert probabilities == pytest.approx(wanted[text], abs=1e-6)
    server.until(lambda: server.count("te_queue_size") == 0)
    server.until(
        lambda: server.count("te_request_count") == sum(map(server.count, ("te_request_success", "te_request_failure")))
    )
    assert server.count("te_request_success") >= before + 8 * 12
    assert server.count("te_batch_next_size_sum") > server.count("te_batch_next_size_count"), "some were read together"


@pytest.mark.parametrize("top_k", [None, 1, 2])
def test_huggingface_hubs_client(
    server: Server, classifier: Path, top_k: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import InferenceClient, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # the server is on this machine
    text = TEXTS[2]
    client = InferenceClient(model=f"http://127.0.0.1:{server.port}")
    found = client.text_classification(text, **({} if top_k is None else {"top_k": top_k}))
    wanted = sorted(zip(offline(classifier, [text])[text], LABELS, strict=True), reverse=True)[:top_k]
    assert [each.label for each in found] == [label for _, label in wanted]
    assert [each.score for each in found] == pytest.approx([score for score, _ in wanted], abs=1e-6)


def test_bodies_that_are_cut_short_or_too_large(server: Server) -> None:
    """Each client is told, and the connection of one that sends no HTTP is closed."""
    for sent, status in (
        (b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n{", b"413"),
        (
            b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nC351\r\n" + b" " * 50001 + b"\r\n",
            b"413",
        ),
        (b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", b"100"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", b"405"),
        (b'POST /predict HTTP/1.0\r\nContent-Length: 15\r\n\r\n{"inputs": "a"}', b"200"),
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(sent)
            assert connection.recv(16).split()[1] == status
    assert server.is_ready()


def test_a_body_that_does_not_end(classifier: Path) -> None:
    """Over a socket: it is told, and the connection is closed."""
    import uvicorn

    from tokensieve.serve.app import create_app, loader
    from tokensieve.serve.settings import ServeSettings

    app = create_app(ServeSettings("model", body_seconds=0.2), loader(str(classifier), device="cpu"))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        place = server.servers[0].sockets[0].getsockname()
        with socket.create_connection(place, timeout=30) as connection:
            connection.sendall(b'POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{"input"')
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"did not arrive within 0.2 seconds" in answer
    finally:
        server.should_exit = True
        thread.join(30)


def replace(folder: Path, by: Path) -> None:
    """Put a copy in a folder's place, at once."""
    new = shutil.copytree(by, folder.with_name("new"))
    folder.rename(folder.with_name(f"old-{time.monotonic_ns()}"))
    new.rename(folder)


def test_the_folder_is_replaced_under_load(
    save_classifier: Callable[..., Path], classifier: Path, tmp_path: Path
) -> None:
    other = save_classifier(tmp_path / "other")
    folder = shutil.copytree(classifier, tmp_path / "model")
    old, new = offline(classifier), offline(other)
    assert all(old[text] != pytest.approx(new[text], abs=1e-5) for text in TEXTS), "they can be told apart"
    with serving(folder, tmp_path / "log") as server, ThreadPoolExecutor(1) as pool:
        has_new = threading.Event()
        loaded = pool.submit(load, server.port, "model", 4, 100_000, has_new.is_set)
        replace(folder, other)
        server.until(lambda: server.count("tokensieve_reloads") == 1)
        has_new.set()
        found = loaded.result(60)
        for text, probabilities in found:
            assert probabilities in (pytest.approx(old[text], abs=1e-6), pytest.approx(new[text], abs=1e-6))
        assert any(probabilities == pytest.approx(old[text], abs=1e-6) for text, probabilities in found)
        for text, probabilities in load(server.port, "model", 1, 6):
            assert probabilities == pytest.approx(new[text], abs=1e-6)
        (folder / "model.safetensors").unlink()
        server.until(lambda: server.count("tokensieve_reload_failures") == 1)
        assert "the model was not replaced: " in server.said()
        assert str(folder) in server.said().rsplit("the model was not replaced: ")[1]
        for text, probabilities in load(server.port, "model", 1, 6):
            assert probabilities == pytest.approx(new[text], abs=1e-6)
        for file in classifier.iterdir():  # written over, in place, and cut short before
            file_of_server = folder / file.name
            file_of_server.write_bytes(b"")
            file_of_server.write_bytes(file.read_bytes())
        assert load(server.port, "model", 1, 6)
        server.until(lambda: server.count("tokensieve_reloads") == 2)
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: server.count("tokensieve_reloads") == 3)
        for text, probabilities in load(server.port, "model", 1, 6):
            assert probabilities == pytest.approx(old[text], abs=1e-6)
        assert server.end(signal.SIGTERM) == 0


def test_killed_restarted_and_stopped(classifier: Path, tmp_path: Path) -> None:
    """After kill -9 a server starts at the same port; on SIGTERM what was accepted is answered."""
    wanted = offline(classifier)
    with serving(classifier, tmp_path / "first") as first:
        waiting = Client(first.port)
        assert waiting.classify(classifier.name, TEXTS[:1], 0)
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
        with pytest.raises((OSError, http.client.HTTPException)):
            waiting.ask("/predict", {"texts": TEXTS[:1]})
        waiting.connection.close()
    with serving(classifier, tmp_path / "second", port=first.port) as second:
        clients = [Client(second.port) for _ in range(6)]
        body = json.dumps({"input": TEXTS[:32]})
        for client in clients:
            client.connection.request("POST", "/classify", body)
        second.until(lambda: second.count("te_request_count") == 6)
        assert second.end(signal.SIGTERM) == 0
        for client in clients:
            response = client.connection.getresponse()
            assert response.status == 200
            rows = json.loads(response.read())["data"]
            for text, own in zip(TEXTS[:32], rows, strict=True):
                assert own["probs"] == pytest.approx(wanted[text], abs=1e-6)
            client.connection.close()
        with pytest.raises(OSError):
            second.get("/health")


@pytest.mark.parametrize(
    ("options", "hints"),
    [
        (("--model", "nowhere"), ("nowhere",)),
        (("--model", "base"), ("base", "not a tokensieve classifier")),
        (("--port", "70000"), ("port=70000", "65535")),
        (("--max-batch-tokens", "0"), ("max_batch_tokens=0",)),
        (("--max-client-batch-size", "-1"), ("max_client_batch_size=-1",)),
        (("--max-concurrent-requests", "0"), ("max_concurrent_requests=0",)),
        (("--payload-limit", "0"), ("payload_limit=0",)),
        (("--api-key", " "), ("api_key",)),
        (("--api-key", "\xe9"), ("api_key",)),
        (("--served-model-name", "a/b"), ("name='a/b'",)),
        (("--host", "no such host"), ("cannot listen at no such host", "--host")),
        (("--host", "a..b"), ("cannot listen at a..b", "--host")),
        (("--max-length", "100000"), ("100000",)),
        (("--device", "abacus"), ("abacus",)),
        (("--threads", "0"), ("threads=0",)),
    ],
)
def test_errors(cli: Cli, work: Path, options: tuple[str, ...], hints: tuple[str, ...]) -> None:
    line = cli("serve", "--model", "model", "--port", "0", *options).error()
    assert [hint for hint in hints if hint not in line] == [], line


def test_a_port_that_is_taken(cli: Cli, work: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"127.0.0.1, port {port}" in cli("serve", "--model", "model", "--port", port).error()


def test_without_the_extra(cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("tokensieve.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    assert "pip install 'tokensieve[serve]'" in cli("serve", "--model", "model", "--port", "0").error()


def test_the_key_is_not_shown(cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSIEVE_API_KEY", "very secret")
    assert "very secret" not in cli("serve", "--help").out
    assert "very secret" not in cli("serve", "--model", "nowhere", "--port", "0").error()
    assert os.environ["TOKENSIEVE_API_KEY"] == "very secret"
