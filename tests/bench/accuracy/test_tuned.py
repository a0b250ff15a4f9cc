"""The record of a tuning, and the tables that follow from it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tuned

from tokensieve.data import DataSplits
from tokensieve.runtime.frontier import Frontier, Point
from tokensieve.tune.goal import Goal
from tokensieve.tune.tune import Tuned
from tokensieve_bench.records import Results
from tokensieve_bench.report.tuned import tuned_tables

MEASURED = {"goal": "at most 0 points below the dense encoder", "threads": 2, "torch": "2.13.0", "dtype": "bfloat16"}


def point(speed: float, difference: float) -> Point:
    interval = (difference - 0.01, difference + 0.01)
    return Point(None, None, {"encoder": 1.0}, 30 * speed, speed, 0.9 + difference, difference, interval)


def test_a_record_and_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def tune(run: Path, splits: DataSplits, output: Path, goal: Goal, **options: Any) -> Tuned:
        asked.append((run, output, goal, options))
        rows: Any = (
            SimpleNamespace(name="dense", point=point(1, 0.0)),
            SimpleNamespace(name="fast", point=point(4, 0.01)),
        )
        frontier = Frontier((point(4, 0.01), point(5, -0.02)), 0, MEASURED)
        return Tuned(("dense", "words -> dense", "fast"), rows, "fast", frontier, True)

    monkeypatch.setattr(tuned, "tune", tune)
    monkeypatch.setattr(tuned, "splits_of", lambda config, data: DataSplits((), ()))
    arguments = SimpleNamespace(
        seed=1, budget=None, target_speed=None, feature_epochs=0, data=tmp_path / "data", threads=2
    )
    run, own = tmp_path / "elsewhere" / "dense-seed1", tmp_path / "build" / "dense-seed1"
    record = tuned.measured({"data": "bbc"}, run, own, arguments)
    assert asked == [(run, own.with_name("dense-seed1-tuned"), Goal(0.0), {"feature_epochs": 0, "overwrite": True})]
    arguments.target_speed = "8x"
    tuned.measured({"data": "bbc"}, run, own, arguments)
    assert asked[1][2] == Goal(speed=8)
    assert record["candidates"] == ["dense", "words -> dense", "fast"]
    assert tuned_tables(Results(tmp_path)) == "Nothing is measured yet."
    (tmp_path / "tune").mkdir()
    (tmp_path / "tune" / "bbc.json").write_text(json.dumps(record | {"seconds": 660}), encoding="utf-8")
    text = tuned_tables(Results(tmp_path))
    assert "| fast | 120.0 | 4.00 | 0.9100 | +1.00 [+0.00, +2.00] | encoder 100% |" in text
    assert "| chosen | 120.0 | 4.00 |" in text
    assert "|  | 150.0 | 5.00 | 0.8800 | -2.00 [-3.00, -1.00] |" in text
    assert "- 11.0 minutes (bar 10: missed)" in text
    assert "- tried: dense, words -> dense, fast" in text
