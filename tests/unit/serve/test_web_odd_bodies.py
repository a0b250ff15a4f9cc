"""Whatever comes as a body: no failure of the server, and each refusal in the shape of its route."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from mutations import json_values

ROUTES = ("/predict", "/", "/classify", "/v2/models/tiny/infer")
NAMES = {
    *("inputs", "texts", "input", "model", "truncate", "truncation_direction", "raw_scores", "top_k", "details"),
    *("parameters", "outputs", "id", "use_activation", "name", "shape", "datatype", "data", "function_to_apply"),
}
ODD = (
    *(
        "\u202egood\u202c",
        "שלום",
        "👩\u200d👩\u200d👧",
        "\0",
        "a\0b",
        "\x07",
        "\x1c",
        "e\u0301" * 50,
        "\ufeff",
        "\u2028",
        "\ufffe",
    ),
    *("good " * 20_000, "g" * 100_000, "\u200b", "\u0600" * 99, "[CLS] [SEP] [PAD]", "\\ud800", "𝕏", "good\r\nfilm"),
)

texts = st.sampled_from(ODD) | st.text(max_size=20)
inner = st.recursive(
    texts | json_values,
    lambda own: st.lists(own, max_size=4) | st.dictionaries(st.sampled_from(sorted(NAMES)), own, max_size=4),
    max_leaves=6,
)
bodies = json_values | st.dictionaries(st.sampled_from(sorted(NAMES)), inner, max_size=5)
tensors = st.fixed_dictionaries(
    {
        "name": texts | json_values,
        "shape": st.lists(st.integers(-1, 3) | json_values, max_size=3) | json_values,
        "datatype": st.just("BYTES") | json_values,
        "data": st.lists(texts | st.lists(texts, max_size=3) | json_values, max_size=4) | json_values,
    }
)


def is_answer(response: Any, path: str) -> None:
    """A success, or a refusal in the shape of the route."""
    assert response.status_code in (200, 400, 413, 415, 422, 404), response.text
    body = json.loads(response.content, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    if response.status_code == 200:
        return
    assert response.headers["content-type"] == "application/json"
    if path == "/classify":
        assert [*body] == ["error"]
        assert {*body["error"]} == {"message", "type", "code"}
        said = body["error"]["message"]
    else:
        assert [*body] == (["error"] if path.startswith("/v2") else ["error", "error_type"])
        said = body["error"]
    assert 0 < len(said) < 1000, "a sentence, and not the body again"


@given(path=st.sampled_from(ROUTES), body=bodies)
def test_json(client: TestClient, path: str, body: Any) -> None:
    is_answer(client.post(path, content=json.dumps(body).encode()), path)


@given(tensor=tensors, more=st.dictionaries(st.sampled_from(["id", "outputs", "parameters"]), inner, max_size=2))
def test_tensors(client: TestClient, tensor: Any, more: Any) -> None:
    is_answer(client.post(ROUTES[3], content=json.dumps({"inputs": [tensor], **more}).encode()), ROUTES[3])


@given(path=st.sampled_from(ROUTES), some=st.lists(texts, min_size=1, max_size=4), nested=st.booleans())
def test_texts(client: TestClient, path: str, some: list[str], nested: bool) -> None:
    """As a client writes them: escaped, and as UTF-8."""
    field = "input" if path == "/classify" else "inputs"
    body: Any = {field: [[text] for text in some] if nested else some}
    if path.startswith("/v2"):
        body = {"inputs": [{"name": "a", "shape": [len(some)], "datatype": "BYTES", "data": body["inputs"]}]}
    for escaped in (True, False):
        written = json.dumps(body, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
        is_answer(client.post(path, content=written), path)


@given(path=st.sampled_from(ROUTES), body=st.binary(max_size=40))
@example("/predict", b"[" * 100_000)
@example("/predict", b'{"inputs":' * 50_000)
@example("/predict", b'{"inputs": ' + b"[" * 150 + b'"a"' + b"]" * 150 + b"}")
@example("/classify", b'{"input": "\\ud800"}')
@example("/classify", b'{"input": "\\udc00\\ud800"}')
@example("/predict", b'{"inputs": "a", "top_k": ' + b"9" * 4000 + b"}")
@example("/predict", b'{"inputs": "a", "top_k": ' + b"9" * 5000 + b"}")
@example("/predict", b'{"inputs": "a", "top_k": 1e999}')
@example("/predict", b'{"inputs": "a", "top_k": NaN}')
@example("/predict", b'{"inputs": NaN, "texts": Infinity}')
@example("/predict", b'{"inputs": "a", "inputs": 1}')
@example("/predict", b'{"inputs": 1, "inputs": "a"}')
@example("/predict", b'\xef\xbb\xbf{"inputs": "a"}')
@example("/predict", '{"inputs": "a"}'.encode("utf-16"))
@example("/predict", b'{"inputs": "\xff"}')
@example("/classify", b'{"input": "a", "model": "' + b"m" * 100_000 + b'"}')
@example(
    "/v2/models/tiny/infer",
    b'{"inputs": [{"name": "a", "shape": [' + b"9" * 4000 + b'], "datatype": "BYTES", "data": ["a"]}]}',
)
def test_bytes(client: TestClient, path: str, body: bytes) -> None:
    is_answer(client.post(path, content=body), path)


@given(
    path=st.sampled_from(ROUTES),
    kind=st.sampled_from(
        ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "image/png", "a/b;"]
    ),
    encoding=st.sampled_from(["", "gzip", "br", "chunked", "utf-7"]),
)
def test_other_headers(client: TestClient, path: str, kind: str, encoding: str) -> None:
    """The body is JSON whatever its header says, as for text-embeddings-inference's clients that send none."""
    headers = {"content-type": kind, "content-encoding": encoding, "accept": kind}
    is_answer(client.post(path, content=b'{"inputs": "a", "input": "a"}', headers=headers), path)


@given(name=st.text(min_size=1, max_size=20))
def test_odd_paths(client: TestClient, name: str) -> None:
    from urllib.parse import quote

    quoted = quote(name.encode("utf-8", "surrogatepass"), safe="")
    for path in (f"/{quoted}", f"/v2/models/{quoted}/infer", f"/v2/models/{quoted}"):
        response = client.request("POST" if path.endswith("infer") else "GET", path, content=b"{}")
        assert response.status_code < 500
        assert ("error" in response.json()) == (response.status_code != 200)


def test_it_is_as_before(client: TestClient) -> None:
    """After all of that no permit is taken, and the queue is empty."""
    service = client.app.state.service  # type: ignore[attr-defined]
    assert (service._active, len(service._queue), service._queue.tokens) == (0, 0, 0)
    assert client.get("/health").status_code == 200
