"""Every kind of classifier answers over HTTP as it does in Python, in every format."""

import gc
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tokensieve.runtime.classifier import Classifier, Text
from tokensieve.runtime.results import Result
from unit.serve.tiny_served import KINDS, LABELS, TEXTS

Offline = Callable[[str], Classifier]
Serve = Callable[..., TestClient]


def texts_of(kind: str) -> list[Text]:
    return list(zip(TEXTS, TEXTS[::-1], strict=True)) if kind == "pairs" else list(TEXTS)


def check(own: dict[str, Any], result: Result, is_multi_label: bool) -> None:
    """What is told of a text beside its scores."""
    assert own["label"] == LABELS[result.label]
    assert own.get("labels") == ([LABELS[number] for number in result.labels] if is_multi_label else None)
    read = bool(result.kept)
    assert own["tokens_seen"] == (result.length if read else 0)
    assert own["tokens_kept"] == (result.kept[-1] if read else 0)
    assert own["stage"] == result.stage


@pytest.mark.parametrize("kind", KINDS)
def test_predict(serve: Serve, offline: Offline, kind: str) -> None:
    client, texts = serve(kind), texts_of(kind)
    inputs = [list(text) if isinstance(text, tuple) else [text] for text in texts]
    answer = client.post("/predict", json={"inputs": inputs, "details": True}).json()
    raw = client.post("/predict", json={"inputs": inputs, "raw_scores": True}).json()
    for own, logits, result in zip(answer, raw, offline(kind).results(texts), strict=True):
        check(own, result, kind == "multi_label")
        for rows, numbers in ((own["scores"], result.probabilities), (logits, result.logits)):
            wanted = dict(zip(LABELS, numbers, strict=True))
            assert {row["label"]: row["score"] for row in rows} == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"pairs"}))
def test_classify(serve: Serve, offline: Offline, kind: str) -> None:
    answer = serve(kind).post("/classify", json={"input": TEXTS}).json()
    results = offline(kind).results(TEXTS)
    for own, result in zip(answer["data"], results, strict=True):
        check(own, result, kind == "multi_label")
        assert own["probs"] == pytest.approx(result.probabilities, abs=1e-6)
    tokens = sum(result.length if result.kept else 0 for result in results)
    assert answer["usage"]["total_tokens"] == tokens


@pytest.mark.parametrize("kind", KINDS)
def test_infer(serve: Serve, offline: Offline, kind: str) -> None:
    client, texts = serve(kind), texts_of(kind)
    rows = [list(text) if isinstance(text, tuple) else [text] for text in texts]
    tensor = {"name": "text", "shape": [len(rows), len(rows[0])], "datatype": "BYTES", "data": rows}
    answer = client.post("/v2/models/tiny/infer", json={"inputs": [tensor]}).json()
    found = {own["name"]: own["data"] for own in answer["outputs"]}
    results = offline(kind).results(texts)
    numbers = [number for result in results for number in result.probabilities]
    assert found["probabilities"] == pytest.approx(numbers, abs=1e-6)
    assert found["label"] == ["|".join(LABELS[number] for number in result.labels) for result in results]
    assert found["stage"] == [result.stage for result in results]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="tells what is mapped")
@pytest.mark.parametrize("kind", KINDS)
def test_no_file_of_the_model_is_mapped(model_dir: Callable[[str], Path], offline: Offline, kind: str) -> None:
    """One that is written over would end the process; and the answers stay."""
    from tokensieve.serve.app import loader

    folder = shutil.copytree(model_dir(kind), model_dir(kind).with_name("copy"), dirs_exist_ok=True)
    served = loader(str(folder), device="cpu")()
    gc.collect()
    assert str(folder) not in Path("/proc/self/maps").read_text(encoding="utf-8")
    for file in folder.glob("*.safetensors"):
        file.write_bytes(b"")
    texts = texts_of(kind)
    found, wanted = served.classifier.results(texts), offline(kind).results(texts)
    assert [result.logits for result in found] == [pytest.approx(result.logits, abs=1e-6) for result in wanted]


def test_the_kinds_differ_in_what_is_tested(offline: Offline) -> None:
    """Both stages answer; several, one and no labels are given."""
    for kind, stages in (("cascade", {"encoder", "second encoder"}), ("words_first", {"words", "encoder"})):
        assert {result.stage for result in offline(kind).results(TEXTS)} == stages
    assert len({len(result.labels) for result in offline("multi_label").results(TEXTS)}) > 1


def test_what_a_bag_of_words_answers_alone_waits_for_no_model(serve: Serve, offline: Offline) -> None:
    client = serve("words_first")
    alone = [text for text, result in zip(TEXTS, offline("words_first").results(TEXTS), strict=True) if not result.kept]
    assert alone
    answer = client.post("/predict", json={"texts": alone, "details": True}).json()
    assert [own["stage"] for own in answer] == ["words"] * len(alone)
    assert "te_batch_next_size_count 0.0" in client.get("/metrics").text


def test_a_classifier_of_pairs_takes_no_single_text_and_the_other_way_round(serve: Serve) -> None:
    pairs, words = serve("pairs"), serve("words")
    for path, body in (("/predict", {"inputs": "a"}), ("/predict", {"texts": ["a"]}), ("/classify", {"input": "a"})):
        response = pairs.post(path, json=body)
        assert response.status_code == 422
        assert "takes pairs of texts" in response.text
    assert pairs.get("/v2/models/tiny").json()["inputs"][0]["shape"] == [-1, 2]
    response = words.post("/predict", json={"inputs": ["a", "b"]})
    assert response.status_code == 422
    assert "send several texts as `texts`" in response.json()["error"]


def test_truncation_of_a_pair(serve: Serve, offline: Offline) -> None:
    """Tokens go from the longer one."""
    client = serve("pairs")
    pair = ("film " * 100, "law " * 10)
    (result,) = offline("pairs").results([pair])
    own = client.post("/predict", json={"inputs": list(pair), "details": True}).json()
    assert own["tokens_seen"] == result.length == 64
    assert own["label"] == LABELS[result.label]
    refused = client.post("/predict", json={"inputs": list(pair), "truncate": False})
    assert "Given: 113" in refused.json()["error"]


def test_a_length_without_room_for_two_texts(model_dir: Any) -> None:
    from tokensieve.serve.app import create_app, loader
    from tokensieve.serve.settings import ServeSettings
    from unit.serve.tiny_served import wait_until_ready

    app = create_app(ServeSettings("tiny"), loader(str(model_dir("plain")), device="cpu", max_length=4))
    with TestClient(app) as client:
        wait_until_ready(client)
        assert client.post("/predict", json={"inputs": "a"}).status_code == 200
        response = client.post("/predict", json={"inputs": ["a", "b"]})
        assert response.status_code == 422
        assert "no room for two texts" in response.json()["error"]
