"""The demonstration replaces only what a demonstration has made, and times in interleaved rounds."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tokensieve.data import DataSplits
from tokensieve.errors import ConfigError
from tokensieve_bench import demo


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("nothing may be trained here")

    monkeypatch.setattr(demo, "_train_and_score", refuse)
    monkeypatch.setattr(demo, "standard_library_corpus", lambda: DataSplits(()))


@pytest.mark.usefixtures("no_training")
def test_a_classifier_of_the_users_is_not_replaced(tmp_path: Path) -> None:
    record = tmp_path / "cascade" / "training.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"versions": {}, "data": "mail.csv"}))
    with pytest.raises(ConfigError, match=r"cascade is a classifier that no demo made.*give another folder"):
        demo.run_demo(tmp_path, str)
    record.write_text(json.dumps({"versions": {}, "data": "Python standard library"}))
    with pytest.raises(AssertionError, match="nothing may be trained"):
        demo.run_demo(tmp_path, str)


def test_classifiers_are_timed_in_interleaved_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """As all benchmarks are: in a random order, after a warm-up, and a short pass more than once."""
    monkeypatch.setattr("tokensieve_bench.rounds.LEAST", 0.0)
    order: list[str] = []

    class Engine:
        def __init__(self, name: str) -> None:
            self.name = name

        def classify(self, documents: Any) -> None:
            assert len(documents) == 4
            order.append(self.name)

    classifiers: Any = {name: SimpleNamespace(engine=Engine(name)) for name in "abcdef"}
    said: list[str] = []
    found = demo.speeds_of(classifiers, [object()] * 4, 3, said.append)
    assert {name: len(own) for name, own in found.items()} == dict.fromkeys("abcdef", 3)
    assert len({tuple(order[place : place + 6]) for place in range(0, 24, 6)}) > 1
    assert said[0] == "warming up"
