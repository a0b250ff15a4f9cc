"""A request may ask for a point of the classifier's frontier: the thresholds change, the weights are the same."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import tokensieve
from tokensieve.cascade.words_first import WordsFirstSettings
from tokensieve.runtime.frontier import Frontier, Point
from tokensieve.serve.app import create_app, loader
from tokensieve.serve.settings import ServeSettings
from unit.serve.tiny_served import TEXTS, ask, wait_until_ready

SPEEDS = {"1x": 1.0, "fastest": 0.0}
"""By the speed, the confidence below which the bag of words defers: all, and none but texts without a known word."""


def _point(speed: float, below: float, low: float) -> Point:
    rule = WordsFirstSettings(below, 0.4, 0.7)
    return Point(
        None, rule, {"words": 1 - below, "encoder": below}, 50 * speed, speed, 0.8, low + 0.05, (low, low + 0.1)
    )


@pytest.fixture(scope="module")
def tuned(model_dir: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words ahead of an encoder, with a frontier of two points."""
    folder = tmp_path_factory.mktemp("tuned") / "model"
    shutil.copytree(model_dir("words_first"), folder)
    points = (_point(1, SPEEDS["1x"], 0.1), _point(20, SPEEDS["fastest"], -0.1))
    Frontier(points, 0, {"documents": 300}).write(folder)
    return folder


@contextmanager
def served(folder: Path, **settings: Any) -> Iterator[TestClient]:
    with TestClient(create_app(ServeSettings(name="tiny", **settings), loader(str(folder), device="cpu"))) as client:
        yield wait_until_ready(client)


def stages(client: TestClient, speed: Any) -> list[str]:
    answer = ask(client, "/predict", {"texts": TEXTS, "details": True, "speed": speed})
    return [own["stage"] for own in answer]


@pytest.mark.parametrize("speed", [*SPEEDS, 20, "20X", None])
def test_a_request_gets_the_point_it_asks_for(tuned: Path, speed: Any) -> None:
    alone = tokensieve.load(tuned, device="cpu", speed=speed)
    with served(tuned) as client:
        assert stages(client, speed) == [result.stage for result in alone.results(TEXTS)]
        other = "1x" if speed != "1x" else "fastest"
        assert stages(client, other) != stages(client, speed) or speed is None
        assert stages(client, speed) == [result.stage for result in alone.results(TEXTS)]  # nothing has moved


def test_every_format_takes_a_speed(tuned: Path) -> None:
    tensor = {"name": "text", "shape": [len(TEXTS)], "datatype": "BYTES", "data": TEXTS}
    with served(tuned) as client:
        for speed in SPEEDS:
            wanted = stages(client, speed)
            told = ask(client, "/classify", {"input": TEXTS, "speed": speed})["data"]
            assert [own["stage"] for own in told] == wanted
            outputs = ask(client, "/v2/models/tiny/infer", {"inputs": [tensor], "parameters": {"speed": speed}})
            by_name = {own["name"]: own["data"] for own in outputs["outputs"]}
            assert by_name["stage"] == wanted


@pytest.mark.parametrize(
    ("speed", "told"),
    [
        ("21x", "the fastest thresholds of this classifier are 20.0 times"),
        ("quick", "give accurate, balanced, fastest, or times"),
        (0, "such as 8x"),
        (True, "such as 8x"),
    ],
)
def test_what_is_no_speed_is_refused(tuned: Path, speed: Any, told: str) -> None:
    with served(tuned) as client:
        answer = client.post("/predict", json={"texts": TEXTS, "speed": speed})
    assert answer.status_code == 422
    assert told in answer.json()["error"]


def test_a_limit_of_the_server_holds(tuned: Path) -> None:
    with served(tuned, max_speed=8.0) as client:
        refused = client.post("/predict", json={"texts": TEXTS, "speed": "20x"})
        assert refused.status_code == 422
        assert "here at most 1.0 times is given" in refused.json()["error"]
        assert stages(client, "fastest") == stages(client, "1x")


def test_without_a_frontier_there_is_one_speed(
    model_dir: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    with served(model_dir("plain")) as client, caplog.at_level("INFO", "tokensieve"):
        for _ in range(3):
            answer = client.post("/predict", json={"inputs": TEXTS[0], "speed": "fastest"})
            assert answer.status_code == 422
            assert "no frontier" in answer.json()["error"]
    assert caplog.text.count("no speeds can be asked for") == 1, "the folder is looked into once"
