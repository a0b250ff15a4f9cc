"""Refusals: each has its status, and the shape of its route's format."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from tokensieve.serve.app import create_app
from tokensieve.serve.settings import ServeSettings

Serve = Callable[..., TestClient]


def _tensor(texts: list[str]) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}]}


ROUTES: dict[str, Callable[[list[str]], Any]] = {
    "/predict": lambda texts: {"texts": texts},
    "/": lambda texts: {"texts": texts},
    "/classify": lambda texts: {"input": texts},
    "/v2/models/tiny/infer": _tensor,
}
every_route = pytest.mark.parametrize("path", ROUTES)
OPEN = ("/health", "/ping", "/metrics", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready")
LOCKED = ("/info", "/v2", "/v2/models/tiny")


def shown(response: Any, path: str, status: int, kind: str | None = None) -> str:
    """The message of a refusal, whose shape is that of its route."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    if path == "/classify":
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "code"}
        assert body["error"]["code"] == status
        return str(body["error"]["message"])
    if path.startswith("/v2"):
        assert set(body) == {"error"}
    else:
        assert set(body) == {"error", "error_type"}
        assert kind in (None, body["error_type"])
    return str(body["error"])


@every_route
def test_too_many_texts(client: TestClient, path: str) -> None:
    said = shown(client.post(path, json=ROUTES[path](["a"] * 33)), path, 413, "Validation")
    assert said == "batch size 33 > maximum allowed batch size 32 (--max-client-batch-size)"
    assert client.post(path, json=ROUTES[path](["a"] * 32)).status_code == 200


@every_route
def test_more_texts_than_are_ever_accepted(serve: Serve, path: str) -> None:
    """429 would let the client try for ever."""
    client = serve(max_concurrent_requests=2)
    assert "--max-concurrent-requests" in shown(client.post(path, json=ROUTES[path](["a"] * 3)), path, 413)
    assert client.post(path, json=ROUTES[path](["a"] * 2)).status_code == 200


@every_route
def test_too_many_bytes(serve: Serve, path: str) -> None:
    client = serve(payload_limit=200)
    body = json.dumps(ROUTES[path](["good " * 60])).encode()
    assert "--payload-limit" in shown(client.post(path, content=body), path, 413, "Validation")

    def parts() -> Iterator[bytes]:
        yield body[:150]
        yield body[150:]

    response = client.post(path, content=parts())
    assert "content-length" not in response.request.headers
    assert "--payload-limit" in shown(response, path, 413, "Validation")
    said_wrongly = client.post(path, content=b"{}", headers={"content-length": "9" * 40})
    shown(said_wrongly, path, 413, "Validation")
    assert client.post(path, json=ROUTES[path](["good"])).status_code == 200


@every_route
def test_overloaded(serve: Serve, path: str) -> None:
    client = serve(max_concurrent_requests=4)
    service: Any = client.app.state.service  # type: ignore[attr-defined]
    service._active = 3
    response = client.post(path, json=ROUTES[path](["a", "b"]))
    assert "Model is overloaded" in shown(response, path, 429, "Overloaded")
    assert response.headers["retry-after"] == "1"
    assert client.post(path, json=ROUTES[path](["a"])).status_code == 200, "one permit is left"
    assert service._active == 3


@every_route
@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"{'a': 1}", b'{"inputs": "\\ud800"}', b"[" * 5000, b"{} {}"])
def test_no_json(client: TestClient, path: str, body: bytes) -> None:
    said = shown(client.post(path, content=body), path, 400, "Validation")
    assert said.startswith("the body is no valid JSON: ")
    assert "Invalid JSON" not in said


@every_route
@pytest.mark.parametrize("body", ["null", "1", '"a"', "[]", "[1]", "{}", "true", "NaN"])
def test_json_of_another_form(client: TestClient, path: str, body: str) -> None:
    assert shown(client.post(path, content=body), path, 422, "Validation")


@every_route
@pytest.mark.parametrize("text", ["\x1c", "\x1f \x1f", "a\0", "\x01\x02a"])
def test_a_text_that_no_file_may_hold_either(client: TestClient, path: str, text: str) -> None:
    assert "cannot be classified" in shown(client.post(path, json=ROUTES[path]([text])), path, 422, "Validation")


@pytest.mark.parametrize("path", [*ROUTES, *LOCKED])
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer no", "Basic secret", "secret", "Bearer secre\xe9"]
)
def test_without_the_key(serve: Serve, path: str, header: str | None) -> None:
    client = serve(api_key="secret")
    headers = [] if header is None else [(b"authorization", header.encode("latin-1"))]
    method, body = ("POST", ROUTES[path](["a"])) if path in ROUTES else ("GET", None)
    response = client.request(method, path, json=body, headers=headers)
    said = shown(response, path, 401, "Unauthorized")
    assert "Authorization: Bearer KEY" in said
    assert response.headers["www-authenticate"] == "Bearer"


def test_with_the_key(serve: Serve) -> None:
    client = serve(api_key="secret")
    for header in ("Bearer secret", "bearer secret"):
        for path, body in ROUTES.items():
            assert client.post(path, json=body(["a"]), headers={"Authorization": header}).status_code == 200
        for path in LOCKED:
            assert client.get(path, headers={"Authorization": header}).status_code == 200
    for path in OPEN:
        assert client.get(path).status_code == 200
    assert "secret" not in client.get("/openapi.json").text
    assert "secret" not in repr(client.app.state.service.settings)  # type: ignore[attr-defined]


def test_the_model_is_not_loaded_yet() -> None:
    import threading

    may_load = threading.Event()

    def load() -> Any:
        assert may_load.wait(60)
        raise OSError("no model in this test")

    with TestClient(create_app(ServeSettings("tiny"), load)) as client:
        for path, body in ROUTES.items():
            response = client.post(path, json=body(["a"]))
            assert "not ready" in shown(response, path, 503, "Unhealthy")
            assert response.headers["retry-after"] == "1"
        for path in ("/health", "/ping", "/info", "/v2/health/ready", "/v2/models/tiny", "/v2/models/tiny/ready"):
            shown(client.get(path), path, 503, "Unhealthy")
        for path in ("/v2/health/live", "/metrics", "/docs", "/openapi.json", "/v2"):
            assert client.get(path).status_code == 200
        may_load.set()


@pytest.mark.parametrize("path", ["/nothing", "/predict/", "/v2/models/tiny/nothing", "/v2/models", "/classify/x"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_no_such_path(client: TestClient, path: str, method: str) -> None:
    assert "there is no such path" in shown(client.request(method, path), path, 404, "NotFound")


@pytest.mark.parametrize("path", [*ROUTES, "/info", "/health", "/v2/health/live"])
def test_no_such_method(client: TestClient, path: str) -> None:
    response = client.delete(path)
    assert "not for this method" in shown(response, path, 405)
    assert response.headers["allow"]


@every_route
def test_numbers_that_are_none(serve: Serve, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged weights; a logit of minus infinity is a probability of 0, and no JSON."""
    import dataclasses

    client = serve()
    engine = client.app.state.service.served.engine  # type: ignore[attr-defined]
    read = engine.read
    for changed in ({"probabilities": (float("nan"),) * 3}, {"logits": (0.0, float("-inf"), 0.0)}):
        monkeypatch.setattr(
            engine, "read", lambda encodings, own=changed: [dataclasses.replace(r, **own) for r in read(encodings)]
        )
        assert "not a number" in shown(client.post(path, json=ROUTES[path](["a"])), path, 424, "Backend")


@every_route
def test_what_the_model_cannot_read(
    serve: Serve, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve()
    engine = client.app.state.service.served.engine  # type: ignore[attr-defined]

    def fail(encodings: Any) -> Any:
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "read", fail)
        assert "RuntimeError" in shown(client.post(path, json=ROUTES[path](["a", "b"])), path, 424, "Backend")
    assert "RuntimeError" in caplog.text
    assert "no memory" not in caplog.text, "the text of an error may quote a document"
    assert client.post(path, json=ROUTES[path](["a", "b"])).status_code == 200, "the thread lives on"


@every_route
def test_a_fault_of_the_server(
    serve: Serve, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log tells the place, and not the text of the error, which may quote a document."""
    client = serve()
    served = client.app.state.service.served  # type: ignore[attr-defined]

    def fail(texts: list[str], how: Any) -> Any:
        raise KeyError(texts[0])

    monkeypatch.setattr(served, "prepare", fail)
    assert shown(client.post(path, json=ROUTES[path](["my private words"])), path, 500, "Internal")
    assert "KeyError" in caplog.text
    assert "private" not in caplog.text
