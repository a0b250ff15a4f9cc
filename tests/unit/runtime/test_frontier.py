"""frontier.json: what it holds, how a speed chooses a point, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tokensieve
from tokensieve.cascade.words_first import WordsFirst, WordsFirstSettings
from tokensieve.errors import CheckpointError, ConfigError
from tokensieve.runtime import precision
from tokensieve.runtime.frontier import FRONTIER, Frontier, Point, pareto, read_frontier, times
from tokensieve.words import WordsClassifier

TEXTS = ["the film was good .", "court and judge , the law", "goal of the team"]


def point(speed: float, low: float, words: float | None = None, below: float | None = None) -> Point:
    rule = None if words is None else WordsFirstSettings(words, 0.25, 0.75)
    return Point(below, rule, {"encoder": 1.0}, 50 * speed, speed, 0.8, low + 0.01, (low, low + 0.02))


FRONT = Frontier((point(1, 0.0), point(4, 0.02), point(9, -0.01), point(30, -0.05)), 2, {"documents": 300})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    whole = Frontier((point(2, 0.0, 0.6, 0.7), point(3, -0.1, 0.1, None)), 1, {"metric": "accuracy"})
    whole.write(tmp_path)
    assert read_frontier(tmp_path) == whole


@pytest.mark.parametrize(
    ("speed", "number"),
    [("accurate", 1), ("balanced", 2), ("fastest", 3), ("1x", 1), ("4", 1), (4.5, 2), (9, 2), ("9.5X", 3), ("30x", 3)],
)
def test_a_speed_chooses_a_point(speed: str | float, number: int) -> None:
    assert FRONT.at(speed) is FRONT.points[number]


def test_no_point_is_as_fast() -> None:
    with pytest.raises(ConfigError, match=r"speed='31x': the fastest thresholds .* are 30\.0 times"):
        FRONT.at("31x")


@pytest.mark.parametrize("bad", ["quick", "", "0", "-2x", "nan", "inf", "x", 0, -1])
def test_what_is_no_speed(bad: Any) -> None:
    with pytest.raises(ConfigError, match="give accurate, balanced, fastest, or times"):
        times(bad)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format_version": 2}, "format_version is 2"),
        ({"chosen": 4}, "chosen is 4, of 4 points"),
        ({"chosen": True}, "chosen is True"),
        ({"points": []}, "of 0 points"),
        ({"points": [{}]}, "words is missing"),
        ({"measured": None}, "measured is no object"),
    ],
)
def test_a_broken_file_names_the_place(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    FRONT.write(tmp_path)
    file = tmp_path / FRONTIER
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(CheckpointError, match=rf"{FRONTIER}: cannot be used \(.*{told}.*tune the classifier again"):
        read_frontier(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"speed": 0},
        {"speed": "fast"},
        {"interval": [0.1]},
        {"interval": [0, 2]},
        {"defer_below": 2},
        {"shares": {"a": "b"}},
        {"words": {"defer_below": 5, "words_weight": 1, "encoder_weight": 1, "thresholds": None}},
        {"words": {}},
        {"more": 1},
    ],
)
def test_a_broken_point(tmp_path: Path, change: dict[str, Any]) -> None:
    FRONT.write(tmp_path)
    file = tmp_path / FRONTIER
    record = json.loads(file.read_text(encoding="utf-8"))
    record["points"][1] |= change
    file.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(CheckpointError, match=f"{FRONTIER}: cannot be used"):
        read_frontier(tmp_path)


@pytest.fixture
def folder(save_classifier: Callable[..., Path], tmp_path: Path) -> Path:
    """A bag of words ahead of a cascade, with a frontier of four points."""
    made = save_classifier(tmp_path / "model", reread=0.4)
    bag = WordsClassifier.fit(["the film", "the law", "a goal", "film"], [0, 1, 2, 0], ["film", "law", "sport"])
    WordsFirst(bag, WordsFirstSettings(0.5, 0.5, 0.5)).save(made)
    points = [
        replace(point(2, 0.0, 1.0, 1.0), shares={"second encoder": 1.0}),
        replace(point(5, -0.01, 1.0, 0.0), shares={"encoder": 1.0}),
        replace(point(9, -0.02, 0.0, 0.0), shares={"words": 1.0}),
    ]
    Frontier(tuple(points), 1, {}).write(made)
    return made


def test_load_sets_the_thresholds(folder: Path) -> None:
    for speed, stage in (("2x", "second encoder"), ("balanced", "encoder"), ("fastest", "words")):
        results = tokensieve.load(folder, device="cpu", speed=speed).results(TEXTS)
        assert [result.stage for result in results] == [stage] * len(TEXTS)
    plain = tokensieve.load(folder, device="cpu")
    assert plain.engine.words_first is not None
    assert plain.engine.words_first.settings.defer_below == 0.5, "no speed: as the folder says"


@pytest.mark.parametrize(
    ("measured", "asked", "speed", "read"),
    [
        ("bfloat16", "auto", None, "bfloat16"),
        ("bfloat16", "float32", "fastest", "bfloat16"),
        ("bfloat16", "float32", None, "float32"),
        ("bfloat16", "float16", "fastest", "float16"),
        ("float32", "auto", None, "float32"),
        ("float32", "float32", "fastest", "float32"),
        (None, "auto", None, "bfloat16"),
        (None, "float32", "fastest", "float32"),
    ],
)
def test_a_folder_is_read_in_the_type_that_it_was_measured_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, measured: str | None, asked: str,
    speed: str | None, read: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(precision, "is_native", lambda dtype, device: True)
    Frontier(FRONT.points, 2, {} if measured is None else {"dtype": measured}).write(folder)
    assert tokensieve.load(folder, device="cpu", dtype=asked, speed=speed).dtype == read
    assert ("tuned in bfloat16" in caplog.text) == (measured == "bfloat16" != read)


def test_what_has_no_frontier(save_classifier: Callable[..., Path], folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no frontier\.json.*tokensieve tune"):
        tokensieve.load(save_classifier(tmp_path / "plain"), device="cpu", speed="8x")
    WordsClassifier.fit(["a goal", "the law"], [0, 1], ["film", "law"]).save(tmp_path / "bag")
    with pytest.raises(ConfigError, match="bag of words, which has one speed"):
        tokensieve.load(tmp_path / "bag", speed="8x")
    with pytest.raises(ConfigError, match=r"keep=0\.5: .*bag of words, which prunes nothing"):
        tokensieve.load(tmp_path / "bag", keep=0.5)
    for name in ("words_first.json", "words.json", "words.safetensors"):
        (folder / name).unlink()
    with pytest.raises(CheckpointError, match="tune the classifier again"):
        tokensieve.load(folder, device="cpu", speed="fastest")


def test_pareto() -> None:
    assert pareto([(1, 0.5), (2, 0.6), (3, 0.55), (2, 0.4), (1, 0.5), (4, 0.7)]) == [5, 1, 0]
    assert pareto([]) == []
