"""The demonstration replaces only what a demonstration has made."""

from __future__ import annotations

import json
from pathlib import Path
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
