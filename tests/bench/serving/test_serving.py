"""A server under load: what fails is lost, whatever its status, and no round with failures counts."""

import json
from typing import Any

import faults
import pytest
import under_load
from load import Answer

LABELS = ("law", "film")


def answer(status: int, scores: tuple[float, float] = (0.25, 0.75), text: int = 0) -> Answer:
    body = json.dumps([{"label": label, "score": score} for label, score in zip(LABELS, scores, strict=True)])
    return Answer(text, 0.1, status, body.encode() if status == 200 else b"")


ANSWERS = [answer(200), answer(200, (0.5, 0.5)), answer(0), answer(503), answer(500)]


def test_an_error_of_a_restarted_server_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def loaded(*_: Any) -> list[Answer]:
        return ANSWERS

    monkeypatch.setattr(faults, "_loaded", loaded)
    found = faults.killed(None, ["text"], LABELS, [[(0.25, 0.75)], [(0.0, 1.0)]], 5)
    assert found == {"requests": 5, "lost": 3, "wrong": 1}


def test_an_answer_after_a_replacement_is_that_of_either_model(monkeypatch: pytest.MonkeyPatch) -> None:
    async def loaded(*_: Any) -> list[Answer]:
        return ANSWERS

    async def after(*_: Any) -> tuple[float, list[Answer]]:
        return 1.0, [answer(200), answer(200, (0.0, 1.0)), answer(500)]

    class Server:
        port = 1

    monkeypatch.setattr(faults, "_loaded", loaded)
    monkeypatch.setattr(faults, "load", after)
    monkeypatch.setattr(faults.time, "sleep", lambda _: None)
    found = faults.replaced(Server(), ["text"], LABELS, [[(0.25, 0.75)], [(0.0, 1.0)]], 5)
    assert found == {"requests": 5, "lost": 4, "wrong": 1, "by_the_old_model_afterwards": 1}


def test_answers_of_a_round_are_checked() -> None:
    class Expected:
        probabilities = (0.25, 0.75)

    found = under_load.checked(ANSWERS, [Expected()], LABELS)
    assert (found["lost"], found["wrong"]) == (3, 1)
    assert found["largest_difference"] == pytest.approx(0.25)


def test_a_round_with_failures_ends_the_command() -> None:
    good = {"server": {"requests": 9, "lost": 0, "wrong": 0}, "naive": {"requests": 9, "lost": 0}}
    assert under_load.sound(1, good) == good
    for own, what in (("server", "lost"), ("server", "wrong"), ("naive", "lost")):
        bad = {**good, own: {**good[own], what: 2}}
        with pytest.raises(SystemExit, match=f"round 3: 2 of 9 answers of {own} {what}"):
            under_load.sound(3, bad)


def test_both_servers_get_the_same_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rounds with everything that takes time taken out."""
    asked: list[tuple[str, int, int]] = []

    class Classifier:
        dtype, labels = "float32", LABELS
        engine = type("Engine", (), {"stages": ("encoder",)})

        def results(self, texts: list[str]) -> list[Any]:
            return [type("Result", (), {"probabilities": (0.25, 0.75)})] * len(texts)

    class Running:
        def __init__(self, command: list[str], *_: Any, **__: Any) -> None:
            self.name = "server" if "serve" in command else "naive"

        def __enter__(self) -> tuple[Any, None]:
            return self.name, None

        def __exit__(self, *_: Any) -> None:
            pass

    def loaded(name: Any, _: Any, texts: list[str], clients: int, requests: int) -> dict[str, Any]:
        asked.append((name, len(texts), requests))
        return {"clients": clients, "requests": requests, "answers": [answer(200)] * requests}

    monkeypatch.setattr(under_load, "load_classifier", lambda *_, **__: Classifier())
    monkeypatch.setattr(under_load, "texts_of", lambda *_: ["a", "b", "c"])
    monkeypatch.setattr(under_load, "running", Running)
    monkeypatch.setattr(under_load, "under_load", loaded)
    monkeypatch.setattr(under_load, "offline", lambda *_: {})
    config = {"max_length": 8, "clients": [1], "requests": 6, "rounds": 1, "round_requests": 5}
    arguments = type("Arguments", (), {"data": None, "threads": 1, "model": "m", "dense": "d"})
    record = under_load.measured(config, arguments)
    assert asked == [("server", 3, 6), ("server", 3, 5), ("naive", 3, 5)]
    assert record["rounds"][0]["server"]["wrong"] == record["rounds"][0]["naive"]["lost"] == 0
