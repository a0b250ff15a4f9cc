"""The formats of vLLM and of KServe V2."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.results import Result
from unit.serve.tiny_served import LABELS, TEXTS, ask

Offline = Callable[[str], Classifier]
INFER = "/v2/models/tiny/infer"
OUTPUTS = ["label", "probabilities", "tokens_seen", "tokens_kept", "stage"]


def tensor(data: Any, shape: list[int]) -> dict[str, Any]:
    return {"name": "text", "shape": shape, "datatype": "BYTES", "data": data}


def test_vllm_answers_a_list(client: TestClient, results: list[Result]) -> None:
    answer = ask(client, "/classify", {"model": "tiny", "input": TEXTS})
    assert answer["id"].startswith("classify-")
    assert (answer["object"], answer["model"]) == ("list", "tiny")
    tokens = sum(result.length for result in results)
    assert answer["usage"] == {
        "prompt_tokens": tokens,
        "total_tokens": tokens,
        "completion_tokens": 0,
        "prompt_tokens_details": None,
    }
    for index, (own, result) in enumerate(zip(answer["data"], results, strict=True)):
        assert own["probs"] == pytest.approx(result.probabilities, abs=1e-6)
        del own["probs"]
        assert own == {
            "index": index,
            "label": LABELS[result.label],
            "num_classes": 3,
            "tokens_seen": result.length,
            "tokens_kept": result.kept[-1],
            "stage": "encoder",
        }


@pytest.mark.parametrize("model", [{}, {"model": None}, {"model": ""}, {"model": "tiny"}])
def test_vllm_answers_a_string(client: TestClient, results: list[Result], model: dict[str, Any]) -> None:
    (own,) = ask(client, "/classify", {"input": TEXTS[0], **model})["data"]
    assert own["probs"] == pytest.approx(results[0].probabilities, abs=1e-6)


def test_vllm_without_activation(client: TestClient, results: list[Result]) -> None:
    for how, wanted in ((False, "logits"), (True, "probabilities"), (None, "probabilities")):
        (own,) = ask(client, "/classify", {"input": TEXTS[0], "use_activation": how})["data"]
        assert own["probs"] == pytest.approx(getattr(results[0], wanted), abs=1e-6)


@pytest.mark.parametrize(
    ("body", "status", "kind", "said"),
    [
        ({"input": "a", "model": "other"}, 404, "NotFoundError", "'other' does not exist; this server has `tiny`"),
        ({"input": []}, 422, "BadRequestError", "`input` has a wrong form: give a text or a list of texts"),
        ({"input": [["a"]]}, 422, "BadRequestError", "`input` has a wrong form"),
        ({"input": [1, 2]}, 422, "BadRequestError", "`input` has a wrong form"),
        ({}, 422, "BadRequestError", "`input` has a wrong form: Field required"),
        ({"input": TEXTS, "truncate": False}, 422, "BadRequestError", "at most 64 tokens"),
        ([], 422, "BadRequestError", "the body has a wrong form"),
    ],
)
def test_what_vllms_route_refuses(client: TestClient, body: Any, status: int, kind: str, said: str) -> None:
    response = client.post("/classify", json=body)
    assert response.status_code == status
    assert set(response.json()) == {"error"}
    refusal = response.json()["error"]
    assert (refusal["type"], refusal["code"]) == (kind, status)
    assert said in refusal["message"]


@pytest.mark.parametrize(("data", "shape"), [(TEXTS, [6]), (TEXTS, [6, 1]), ([[text] for text in TEXTS], [6, 1])])
def test_kserve_answers_texts(client: TestClient, results: list[Result], data: Any, shape: list[int]) -> None:
    answer = ask(client, INFER, {"id": "x-1", "inputs": [tensor(data, shape)]})
    assert (answer["model_name"], answer["id"]) == ("tiny", "x-1")
    assert [own["name"] for own in answer["outputs"]] == OUTPUTS
    label, probabilities, seen, kept, stage = answer["outputs"]
    numbers = [number for result in results for number in result.probabilities]
    assert probabilities["data"] == pytest.approx(numbers, abs=1e-6)
    assert (probabilities["shape"], probabilities["datatype"]) == ([6, 3], "FP32")
    assert label == {"name": "label", "shape": [6], "datatype": "BYTES", "data": [LABELS[r.label] for r in results]}
    assert seen == {"name": "tokens_seen", "shape": [6], "datatype": "INT64", "data": [r.length for r in results]}
    assert kept["data"] == [result.kept[-1] for result in results]
    assert stage["data"] == ["encoder"] * 6


@pytest.mark.parametrize(("data", "shape"), [(TEXTS[:4], [2, 2]), ([TEXTS[:2], TEXTS[2:4]], [2, 2])])
def test_kserve_answers_pairs(client: TestClient, offline: Offline, data: Any, shape: list[int]) -> None:
    wanted = offline("plain").results([(TEXTS[0], TEXTS[1]), (TEXTS[2], TEXTS[3])])
    answer = ask(client, INFER, {"inputs": [tensor(data, shape)], "outputs": [{"name": "probabilities"}]})
    assert "id" not in answer
    (own,) = answer["outputs"]
    assert own["data"] == pytest.approx([number for result in wanted for number in result.probabilities], abs=1e-6)


def test_kserve_gives_the_outputs_that_are_wanted(client: TestClient) -> None:
    wanted = [{"name": "stage"}, {"name": "label", "parameters": {"binary_data": False}}]
    answer = ask(client, INFER, {"inputs": [tensor(["a"], [1])], "outputs": wanted})
    assert [own["name"] for own in answer["outputs"]] == ["stage", "label"]


GOOD = {"inputs": [tensor(["a"], [1])]}


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/v2/models/other/infer", GOOD, 404, "model 'other' is unknown; this server has 'tiny'"),
        (INFER, {"inputs": [tensor(["a", "b"], [1])]}, 422, "`data` has 2 texts, and `shape` is [1]"),
        (INFER, {"inputs": [tensor(["a", "b", "c"], [1, 3])]}, 422, "give [N], or [N, 2] for pairs"),
        (INFER, {"inputs": [tensor([["a", "b"], ["c"]], [2, 2])]}, 422, "`data` has 3 texts"),
        (INFER, {"inputs": [tensor(["a"], [10**30])]}, 422, "`data` has 1 texts"),
        (INFER, {"inputs": [tensor(["a"], [0])]}, 422, "`inputs[0].shape[0]` has a wrong form"),
        (
            INFER,
            {"inputs": [tensor([["a"], "b"], [2])]},
            422,
            "`inputs[0].data` has a wrong form: give a list of texts",
        ),
        (INFER, {"inputs": [tensor(["a"], [1]) | {"datatype": "FP32"}]}, 422, "`inputs[0].datatype`"),
        (INFER, {"inputs": []}, 422, "`inputs` has a wrong form"),
        (INFER, {**GOOD, "outputs": [{"name": "logits"}]}, 422, "`outputs[0].name`"),
        (INFER, {"inputs": [tensor(TEXTS, [6])], "parameters": {"truncate": False}}, 422, "at most 64 tokens"),
    ],
)
def test_what_kserves_route_refuses(client: TestClient, path: str, body: Any, status: int, said: str) -> None:
    response = client.post(path, json=body)
    assert response.status_code == status
    assert set(response.json()) == {"error"}
    assert said in response.json()["error"]


def test_kserves_tensors_in_binary_form(client: TestClient) -> None:
    response = client.post(INFER, json=GOOD, headers={"Inference-Header-Content-Length": "10"})
    assert (response.status_code, list(response.json())) == (400, ["error"])


def test_what_kserves_routes_tell(client: TestClient) -> None:
    assert client.get("/v2").json()["name"] == "tokensieve"
    assert client.get("/v2/health/live").json() == {"live": True}
    for path in ("/v2/health/ready", "/v2/models/tiny/ready"):
        assert client.get(path).json() == {"ready": True}
    facts = client.get("/v2/models/tiny").json()
    assert facts["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert [output["name"] for output in facts["outputs"]] == OUTPUTS
    assert client.get("/v2/models/other").status_code == 404
    assert client.get("/v2/models/other/ready").status_code == 404


@pytest.mark.parametrize(
    ("data", "shape"),
    [([["a"], ["b", "c"], ["d"]], [2, 2]), ([["a", "b"]], [2, 1]), ([["a", "b"], ["c"], ["d"]], [2, 2])],
)
def test_kserve_pairs_no_texts_of_different_rows(client: TestClient, data: Any, shape: list[int]) -> None:
    answer = client.post(INFER, json={"inputs": [tensor(data, shape)]})
    assert answer.status_code == 422
    assert "`data` has" in answer.json()["error"]
