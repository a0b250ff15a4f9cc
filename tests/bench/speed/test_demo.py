"""The record of the demonstration as it is published."""

import json
from pathlib import Path

import demo as publish
import pytest


def test_the_published_record_names_the_machine_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "SOURCE", tmp_path / "demo.json")
    monkeypatch.setattr(publish, "TARGET", tmp_path / "results" / "demo.json")
    with pytest.raises(SystemExit, match="run `make demo` first"):
        publish.main()
    made = {"commit": "abc+", "processor": "a chip", "cores": 3, "threads": 2}
    (tmp_path / "demo.json").write_text(json.dumps({"machine": made, "seed": 7, "models": {}}))
    publish.main()
    found = json.loads((tmp_path / "results" / "demo.json").read_text(encoding="utf-8"))
    assert {key: found[key] for key in ("commit", "processor", "cores", "seed")} == {
        **{key: made[key] for key in ("commit", "processor", "cores")},
        "seed": 7,
    }
