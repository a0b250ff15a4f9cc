"""`tokensieve tune`, `train` with a goal, and --speed along the frontier that they measure."""

import json
import os
import signal
from pathlib import Path

import pytest

from e2e.conftest import Cli, labelled_rows, listing, write_rows

RECIPE = ("--max-length", "32", "--device", "cpu", "--epochs", "2", "--learning-rate", "3e-3", "--batch-size", "8")
TRAIN = ("train", "--model", "base", "--data", "data.jsonl", "--output", "out", *RECIPE)
TUNE = ("tune", "--model", "out.dense", "--data", "data.jsonl", "--device", "cpu")


@pytest.fixture
def data(work: Path) -> Path:
    return write_rows(work / "data.jsonl", labelled_rows(90))


def test_train_to_a_budget_then_move_along_the_frontier(cli: Cli, work: Path, data: Path) -> None:
    record = cli(*TRAIN, "--budget", "100", "--json").json()
    assert record["met"] is True
    assert record["measured"]["documents"] == 19
    assert {"out", "out.dense"} <= listing(work)
    chosen = record["frontier"][record["point"]]
    written = json.loads((work / "out" / "frontier.json").read_text(encoding="utf-8"))
    assert written["points"] == record["frontier"]
    for speed in ("accurate", "balanced", "fastest", f"{chosen['speed']}x"):
        scores = cli("evaluate", "--model", "out", "--data", "data.jsonl", "--speed", speed, "--json").json()
        assert scores["documents"] == 90
    predicted = cli("predict", "--model", "out", "--input", "data.jsonl", "--speed", "fastest")
    assert len(predicted.out.splitlines()) == 90
    assert "the fastest thresholds" in cli("predict", "--model", "out", "--speed", "1e9x").error()
    assert "give accurate, balanced, fastest" in cli("predict", "--model", "out", "--speed", "quick").error()

    lines = cli(*TUNE, "--output", "tuned", "--target-speed", "1e9x").out.splitlines()
    assert lines[0].startswith("on 19 validation documents; the dense encoder: accuracy ")
    assert "no candidate meets it; this one comes nearest:" in lines
    assert lines[-1].startswith("saved in tuned, with ")
    said = cli(*TUNE, "--output", "tuned", "--max-latency-ms", "1e6", "--overwrite", "--json").json()
    assert said["measured"]["goal"] == "at most 1e+06 ms for a document"
    assert all(row["latency_ms"] > 0 for row in said["table"])


def test_a_dense_classifier_that_is_finished_is_not_trained_again(cli: Cli, work: Path, data: Path) -> None:
    cli(*TRAIN, "--target-speed", "0.001x", "--json").json()
    before = (work / "out.dense" / "model.safetensors").stat().st_mtime_ns
    assert "exists" in cli(*TRAIN, "--budget", "1").error()
    (work / "out").rename(work / "kept")
    cli(*TRAIN, "--budget", "1", "--resume", "--json").json()
    assert (work / "out.dense" / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--budget", "-1"), "budget=-1"),
        (("--budget", "1", "--target-speed", "8x"), "give one of them"),
        (("--target-speed", "fast"), "times the dense encoder's speed"),
        (("--max-latency-ms", "0"), "latency_ms=0"),
        (("--budget", "0", "--preset", "fast"), "the goal chooses among presets"),
        (("--budget", "0", "--keep", "0.5"), "the goal chooses among presets"),
        (("--budget", "0", "--set", "train.words_first=1"), "chosen by the goal"),
    ],
)
def test_goals_that_cannot_be(cli: Cli, work: Path, data: Path, options: tuple[str, ...], told: str) -> None:
    before = listing(work)
    assert told in cli(*TRAIN, *options).error()
    assert listing(work) == before


def test_tune_refuses(cli: Cli, work: Path, data: Path) -> None:
    before = listing(work)
    tune = ("tune", "--model", "model", "--data", "data.jsonl", "--output", "out")
    assert "--dense" in cli(*tune).error()
    assert "tune takes data.X alone" in cli(*tune, "--set", "train.epochs=3").error()
    assert "holds a 'bert' model" in cli("tune", "--model", "base", "--data", "data.jsonl", "--output", "out").error()
    assert "has no frontier.json" in cli("predict", "--model", "model", "--speed", "8x").error()
    assert listing(work) == before


def test_a_scheduler_that_ends_it_leaves_nothing_behind(
    cli: Cli, work: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("train", "--model", "base", "--data", "data.jsonl", "--output", "dense", *RECIPE, "--preset", "dense")
    before = listing(work)
    monkeypatch.setattr("tokensieve.tune.candidates.train", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    ended = cli("tune", "--model", "dense", "--data", "data.jsonl", "--output", "out")
    assert ended.code == 128 + signal.SIGTERM
    assert listing(work) == before
