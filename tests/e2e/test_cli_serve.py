"""`tokensieve serve` as a process: clients at once, clients that leave, signals, folders that are replaced, errors."""

import http.client
import json
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from e2e.conftest import LABELS
from e2e.serving import TEXTS, Client, Server, leave, load, offline, serving


@pytest.fixture(scope="module")
def server(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Of the classifier of three labels, for tests that leave it as it is."""
    with serving(classifier, tmp_path_factory.mktemp("log") / "log", "--payload-limit", "50000") as found:
        yield found
        assert found.process.poll() is None


def test_clients_at_once_get_what_is_theirs_while_others_leave(server: Server, classifier: Path) -> None:
    wanted, before = offline(classifier), server.count("te_request_success")
    leaving = threading.Thread(target=lambda: [leave(server.port, number) for number in range(60)])
    leaving.start()
    found = load(server.port, classifier.name, clients=8, requests=12)
    leaving.join()
    assert len(found) > 8 * 12
    for text, probabilities in found:
        assert probabilities == pytest.approx(wanted[text], abs=1e-5)
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
    assert [each.score for each in found] == pytest.approx([score for score, _ in wanted], abs=1e-5)


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
            assert probabilities in (pytest.approx(old[text], abs=1e-5), pytest.approx(new[text], abs=1e-5))
        assert any(probabilities == pytest.approx(old[text], abs=1e-5) for text, probabilities in found)
        for text, probabilities in load(server.port, "model", 1, 6):
            assert probabilities == pytest.approx(new[text], abs=1e-5)
        (folder / "model.safetensors").unlink()
        server.until(lambda: server.count("tokensieve_reload_failures") == 1)
        assert "the model was not replaced: " in server.said()
        assert str(folder) in server.said().rsplit("the model was not replaced: ")[1]
        for text, probabilities in load(server.port, "model", 1, 6):
            assert probabilities == pytest.approx(new[text], abs=1e-5)
        for file in classifier.iterdir():  # written over, in place, and cut short before
            file_of_server = folder / file.name
            file_of_server.write_bytes(b"")
            file_of_server.write_bytes(file.read_bytes())
        assert load(server.port, "model", 1, 6)
        server.until(lambda: server.count("tokensieve_reloads") == 2)
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: server.count("tokensieve_reloads") == 3)
        for text, probabilities in load(server.port, "model", 1, 6):
            assert probabilities == pytest.approx(old[text], abs=1e-5)
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
                assert own["probs"] == pytest.approx(wanted[text], abs=1e-5)
            client.connection.close()
        with pytest.raises(OSError):
            second.get("/health")


def test_interrupted_once_and_twice(classifier: Path, tmp_path: Path) -> None:
    """Once it waits for a request whose body is on its way; twice it ends at once, and says nothing."""
    with serving(classifier, tmp_path / "log") as server, socket.socket() as half, socket.socket() as late:
        half.connect(("127.0.0.1", server.port))
        half.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{")
        late.connect(("127.0.0.1", server.port))
        assert server.is_ready()
        server.process.send_signal(signal.SIGINT)
        with pytest.raises(OSError):
            server.until(lambda: not server.get("/health"))
        assert server.process.poll() is None
        assert late.recv(1) == b"", "it sends nothing, and is not waited for"
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == -signal.SIGINT
    assert server.said().count("\n") == 1
