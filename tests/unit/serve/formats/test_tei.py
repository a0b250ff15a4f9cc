"""`POST /predict`, as text-embeddings-inference has it, and what is added to it."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.results import Result
from unit.serve.tiny_served import LABELS, TEXTS, ask

Offline = Callable[[str], Classifier]
Serve = Callable[..., TestClient]


def asked(client: TestClient, path: str = "/predict", **body: Any) -> Any:
    return ask(client, path, body)


def same(answer: Any, result: Result, *, raw: bool = False) -> None:
    """Every label with its score, the highest first."""
    numbers = result.logits if raw else result.probabilities
    wanted = dict(zip(LABELS, numbers, strict=True))
    assert {row["label"]: row["score"] for row in answer} == pytest.approx(wanted, abs=1e-6)
    assert [row["score"] for row in answer] == sorted((row["score"] for row in answer), reverse=True)


@pytest.mark.parametrize("path", ["/predict", "/"])
def test_a_single_text(client: TestClient, results: list[Result], path: str) -> None:
    same(asked(client, path, inputs=TEXTS[0]), results[0])
    same(asked(client, path, inputs=[TEXTS[0]]), results[0])


def test_several_texts(client: TestClient, results: list[Result]) -> None:
    for answer in (asked(client, texts=TEXTS), asked(client, inputs=[[text] for text in TEXTS])):
        assert len(answer) == len(TEXTS)
        for own, result in zip(answer, results, strict=True):
            same(own, result)


def test_two_strings_are_a_pair_and_two_texts_are_not(client: TestClient, offline: Offline) -> None:
    (pair,) = offline("plain").results([(TEXTS[0], TEXTS[1])])
    same(asked(client, inputs=TEXTS[:2]), pair)
    same(asked(client, inputs=[TEXTS[:2]])[0], pair)
    first, second = offline("plain").results(TEXTS[:2])
    answer = asked(client, texts=TEXTS[:2])
    same(answer[0], first)
    same(answer[1], second)


def test_raw_scores_are_logits(client: TestClient, results: list[Result]) -> None:
    same(asked(client, inputs=TEXTS[0], raw_scores=True), results[0], raw=True)
    same(asked(client, inputs=TEXTS[0], parameters={"function_to_apply": "none"})[0], results[0], raw=True)


@pytest.mark.parametrize("how", [{"top_k": 2}, {"parameters": {"top_k": 2}}])
def test_top_k(client: TestClient, how: dict[str, Any]) -> None:
    whole = asked(client, texts=TEXTS)
    assert asked(client, texts=TEXTS, **how) == [own[:2] for own in whole]
    assert asked(client, texts=TEXTS, top_k=99) == whole


def test_parameters_give_a_nested_list(client: TestClient) -> None:
    """huggingface_hub takes the first element of what it gets."""
    assert asked(client, inputs=TEXTS[0], parameters={}) == [asked(client, inputs=TEXTS[0])]
    assert asked(client, inputs=TEXTS[0], parameters=None) == asked(client, inputs=TEXTS[0])


def test_a_function_that_is_not_the_classifiers(client: TestClient, serve: Serve) -> None:
    asked(client, inputs=TEXTS[0], parameters={"function_to_apply": "softmax"})
    response = client.post("/predict", json={"inputs": TEXTS[0], "parameters": {"function_to_apply": "sigmoid"}})
    assert response.status_code == 422
    assert "softmax" in response.json()["error"]
    labels = serve("multi_label")
    asked(labels, inputs=TEXTS[0], parameters={"function_to_apply": "sigmoid"})
    assert (
        labels.post("/predict", json={"inputs": "a", "parameters": {"function_to_apply": "softmax"}}).status_code == 422
    )


def test_details(client: TestClient, results: list[Result]) -> None:
    answer = asked(client, texts=TEXTS, details=True)
    for own, result in zip(answer, results, strict=True):
        same(own.pop("scores"), result)
        assert own == {
            "label": LABELS[result.label],
            "tokens_seen": result.length,
            "tokens_kept": result.kept[-1],
            "stage": "encoder",
        }
    assert asked(client, inputs=TEXTS[3], details=True)["tokens_seen"] == 64


def test_tokens_are_told_in_a_header(client: TestClient, results: list[Result]) -> None:
    response = client.post("/predict", json={"texts": TEXTS})
    assert response.headers["x-compute-tokens"] == str(sum(result.length for result in results))


@pytest.mark.parametrize(
    ("direction", "left"), [("left", "law"), ("Left", "law"), ("right", "film"), ("Right", "film")]
)
def test_tokens_are_cut_off_on_the_side_that_is_asked_for(
    client: TestClient, offline: Offline, direction: str, left: str
) -> None:
    """Both halves fit alone, and only one of them is read."""
    (wanted,) = offline("plain").results([f"{left} " * 62])
    body = {"inputs": "film " * 62 + "law " * 62, "truncate": True, "truncation_direction": direction}
    same(asked(client, **body), wanted)


def test_what_is_too_long_is_truncated_if_the_request_or_else_the_server_says_so(
    serve: Serve, client: TestClient
) -> None:
    strict = serve(auto_truncate=False)
    for server, body, status in (
        (client, {}, 200),
        (client, {"truncate": None}, 200),
        (client, {"truncate": False}, 422),
        (strict, {}, 422),
        (strict, {"truncate": True}, 200),
    ):
        response = server.post("/predict", json={"texts": TEXTS, **body})
        assert response.status_code == status
    assert response.headers["x-compute-tokens"] != "0"
    refusal = client.post("/predict", json={"texts": TEXTS, "truncate": False}).json()
    assert refusal["error_type"] == "Validation"
    assert "at most 64 tokens. Given: 102" in refusal["error"]
    assert client.post("/predict", json={"texts": TEXTS[:3], "truncate": False}).status_code == 200


@pytest.mark.parametrize(
    "inputs",
    [["a", "b", "c"], [["a", "b", "c"]], [], [[]], "", " ", [""], ["a", " "], [["a"], []], [["a"], "b"], 1, {}, [1]],
)
def test_inputs_of_a_wrong_form(client: TestClient, inputs: Any) -> None:
    response = client.post("/predict", json={"inputs": inputs})
    assert response.status_code == 422
    refusal = response.json()
    assert refusal["error_type"] == "Validation"
    assert refusal["error"] == (
        "`inputs` has a wrong form: give a text, a list of one or two texts (two are a pair), or a list of such lists; "
        "no text may be blank"
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "give `inputs` or `texts`, one of them"),
        ({"inputs": None}, "give `inputs` or `texts`, one of them"),
        ({"inputs": "a", "texts": ["b"]}, "give `inputs` or `texts`, one of them"),
        ({"texts": "a"}, "`texts` has a wrong form: give a list of texts"),
        ({"texts": [["a"]]}, "`texts` has a wrong form"),
        ({"texts": []}, "`texts` has a wrong form"),
        ({"inputs": "a", "top_k": 0}, "`top_k` has a wrong form"),
        ({"inputs": "a", "truncate": "yes"}, "`truncate` has a wrong form"),
        ({"inputs": "a", "raw_scores": 1}, "`raw_scores` has a wrong form"),
        ({"inputs": "a", "truncation_direction": "up"}, "`truncation_direction` has a wrong form"),
        ({"inputs": "a", "parameters": {"top_k": "3"}}, "`parameters.top_k` has a wrong form"),
        ({"inputs": ["a", "b\0"]}, "document 0 cannot be classified"),
    ],
)
def test_other_faults_are_named(client: TestClient, body: dict[str, Any], said: str) -> None:
    response = client.post("/predict", json=body)
    assert response.status_code == 422
    assert said in response.json()["error"]


def test_fields_that_it_does_not_know_are_passed_over(client: TestClient) -> None:
    assert asked(client, inputs=TEXTS[0], prompt_name="x", options={"wait": True}) == asked(client, inputs=TEXTS[0])
