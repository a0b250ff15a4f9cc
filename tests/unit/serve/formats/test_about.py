"""What a server tells of itself is true: metrics, facts, its description; and what its log does not tell."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from tokensieve.runtime.classifier import Classifier
from tokensieve.serve.app import ENDPOINTS
from unit.serve.tiny_served import KINDS, LABELS, TEXTS

Serve = Callable[..., TestClient]
TEI = {
    *("te_request_count", "te_request_success", "te_request_failure", "te_queue_size"),
    *("te_request_duration", "te_request_tokenization_duration", "te_request_queue_duration"),
    *("te_request_inference_duration", "te_request_input_length", "te_batch_next_size", "te_batch_next_tokens"),
}
REFUSAL = "/predict", {"texts": ["a"] * 33}


def samples(client: TestClient) -> dict[str, float]:
    """The metrics, each with its labels."""
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    lines = [line.rsplit(" ", 1) for line in response.text.splitlines() if not line.startswith("#")]
    assert len({name for name, _ in lines}) == len(lines), "each once"
    return {name: float(value) for name, value in lines}


def test_metrics_have_the_names_of_text_embeddings_inference(client: TestClient) -> None:
    text = client.get("/metrics").text
    names = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    assert names >= TEI
    assert {name for name in names - TEI if not name.endswith("_created")} == {
        *("tokensieve_documents", "tokensieve_tokens_seen", "tokensieve_tokens_kept", "tokensieve_truncated"),
        *("tokensieve_reloads", "tokensieve_reload_failures", "tokensieve_refused"),
    }


def test_every_request_is_counted_once(serve: Serve, offline: Callable[[str], Classifier]) -> None:
    client = serve()
    client.get("/health")
    client.get("/info")
    for _ in range(2):
        assert client.post("/predict", json={"inputs": TEXTS[0]}).status_code == 200
    assert client.post("/classify", json={"input": TEXTS}).status_code == 200
    assert client.post(REFUSAL[0], json=REFUSAL[1]).status_code == 413
    assert client.post("/predict", json={"inputs": TEXTS[3], "truncate": False}).status_code == 422
    assert client.post("/predict", content=b"{").status_code == 400
    assert client.post("/predict", json={"inputs": 1}).status_code == 422
    found = samples(client)
    assert found['te_request_count{method="single"}'] == 3
    assert found['te_request_count{method="batch"}'] == 2
    assert found['te_request_success{method="single"}'] == 2
    assert found['te_request_success{method="batch"}'] == 1
    assert found['te_request_failure{err="validation"}'] == 2
    assert found['tokensieve_refused{status="422"}'] == 2
    assert found['tokensieve_refused{status="413"}'] == found['tokensieve_refused{status="400"}'] == 1
    results = offline("plain").results([TEXTS[0], TEXTS[0], *TEXTS])
    assert found['tokensieve_documents{stage="encoder"}'] == found["te_request_input_length_count"] == 8
    assert found["tokensieve_tokens_seen"] == found["te_request_input_length_sum"] == sum(r.length for r in results)
    assert found["te_batch_next_tokens_sum"] == sum(result.length for result in results)
    assert found["tokensieve_tokens_kept"] == sum(result.kept[-1] for result in results)
    assert found["te_batch_next_size_sum"] == 8
    assert found["te_request_duration_count"] == found["te_request_inference_duration_count"] == 3
    assert found["tokensieve_truncated"] == 1, "the other one was refused"
    assert found["te_queue_size"] == 0


def test_not_being_ready_is_no_failed_request(serve: Serve) -> None:
    client = serve(api_key="x")
    before = samples(client)
    assert client.get("/info").status_code == 401
    assert client.post("/predict", json={"inputs": "a"}).status_code == 401
    after = samples(client)
    assert after.pop('tokensieve_refused{status="401"}') == 2
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == set()


@pytest.mark.parametrize("kind", KINDS)
def test_info(serve: Serve, offline: Callable[[str], Classifier], kind: str) -> None:
    client = serve(kind, max_client_batch_size=7)
    info = client.get("/info").json()
    engine = offline(kind).engine
    assert info["model_type"]["classifier"]["id2label"] == {str(place): name for place, name in enumerate(LABELS)}
    assert info["model_type"]["classifier"]["label2id"] == {name: place for place, name in enumerate(LABELS)}
    assert (info["model_id"], info["served_model_name"]) == ("model", "tiny")
    assert (info["max_client_batch_size"], info["max_input_length"]) == (7, engine.max_length)
    assert info["stages"] == list(engine.stages)
    assert (info["multi_label"], info["text_pairs"]) == (kind == "multi_label", kind == "pairs")
    assert info["model_dtype"] == "float32"
    assert re.fullmatch("[0-9a-f]{64}", info["model_sha"])
    assert info["measured"] is None


@pytest.mark.parametrize(
    ("record", "measured"),
    [
        ({"best": {"eval_accuracy": 0.5, "eval_loss": float("nan")}}, {"accuracy": 0.5}),
        (
            {"best": {"eval_accuracy": 0.5, "eval_runtime": 3, "step": 1}, "floors": {"words": float("inf")}},
            {"accuracy": 0.5},
        ),
        ({"best": [1]}, None),
        ([], None),
        ("{", None),
    ],
)
def test_what_was_measured_is_that_of_the_record(
    save_classifier: Callable[..., Path], tmp_path: Path, record: Any, measured: Any
) -> None:
    from tokensieve.runtime.load import load
    from tokensieve.serve.served import Served

    folder = save_classifier(tmp_path / "model")
    text = record if isinstance(record, str) else json.dumps(record)
    (folder / "training.json").write_text(text, encoding="utf-8")
    info = Served(load(folder, device="cpu"), str(folder)).info
    json.dumps(info, allow_nan=False)
    assert (info["measured"] and info["measured"]["validation"]) == measured


def schema_of(document: dict[str, Any], path: str, method: str, status: int) -> Any:
    content = document["paths"][path][method]["responses"][str(status)].get("content", {})
    return next(iter(content.values()), {}).get("schema")


def test_every_answer_is_as_it_is_described(serve: Serve) -> None:
    """Every field of a real answer is declared, with its type; and every status."""
    client = serve("multi_label", api_key="x")
    client.headers["Authorization"] = "Bearer x"
    document = client.get("/openapi.json").json()
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}
    bodies: dict[str, list[Any]] = {
        "/predict": [
            {"inputs": "a"},
            {"texts": ["a"]},
            {"inputs": "a", "details": True},
            {"texts": ["a"], "details": True},
        ],
        "/classify": [{"input": "a"}, {"input": ["a", "b"], "model": "tiny"}],
        "/v2/models/{name}/infer": [
            {"inputs": [tensor]},
            {"inputs": [tensor], "id": "x", "outputs": [{"name": "stage"}]},
        ],
    }
    for endpoint in ENDPOINTS:
        path = endpoint.path.replace("{name}", "tiny")
        own = bodies.get(endpoint.path, bodies["/predict"]) if endpoint.takes is not None else [None]
        for body in own:
            response = client.request(endpoint.method, path, json=body)
            assert response.status_code == 200
            if endpoint.gives is not None:
                declared = TypeAdapter(endpoint.gives)
                read = declared.validate_json(response.content)
                assert declared.dump_python(read, mode="json", exclude_unset=True) == response.json()
                assert schema_of(document, path, endpoint.method.lower(), 200)
        for refused in (client.request(endpoint.method, path, content=b"{", headers={"Authorization": ""}),
                        client.request(endpoint.method, path, content=b"{")):  # fmt: skip
            if refused.status_code != 200:
                assert schema_of(document, path, endpoint.method.lower(), refused.status_code)
                declared = TypeAdapter(endpoint.error)
                read = declared.validate_json(refused.content)
                assert declared.dump_python(read, mode="json", exclude_unset=True) == refused.json()


def test_the_description_is_whole(client: TestClient) -> None:
    """Every reference leads somewhere, every path of the server is there, and the page names them all."""
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    names = re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document))
    assert set(names) == set(document["components"]["schemas"])
    assert set(document["paths"]) == {endpoint.path.replace("{name}", "tiny") for endpoint in ENDPOINTS}
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert all(f"<code>{path}</code>" in page.text for path in document["paths"])


def test_a_name_that_a_path_cannot_have_as_it_is(serve: Serve) -> None:
    client = serve(name="my {odd}? <b>ü")
    document = client.get("/openapi.json").json()
    (path,) = [path for path in document["paths"] if path.endswith("/infer")]
    body = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}
    response = client.post(path, json=body)
    assert response.json()["model_name"] == "my {odd}? <b>ü"
    assert "<b>" not in client.get("/docs").text


def test_nothing_of_a_document_is_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client, secret = serve(), "confidential"
    bodies: list[dict[str, Any]] = [
        *({"inputs": secret}, {"texts": [secret, secret + "\0"]}, {"inputs": [secret] * 3}, {secret: secret}),
        *({"texts": [f"{secret} " * 99], "truncate": False}, {"inputs": secret, "truncate": secret}),
    ]
    for body in bodies:
        for path in ("/predict", "/classify", "/v2/models/tiny/infer"):
            client.post(path, json=body)
    client.post("/predict", content=f'{{"inputs": "{secret}'.encode())
    own = [record for record in caplog.records if record.name.split(".")[0] in ("tokensieve", "uvicorn", "starlette")]
    assert not [record for record in own if secret in record.getMessage()]
    assert secret not in client.get("/metrics").text
