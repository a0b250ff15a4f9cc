"""The tables in README.md and docs/ follow from the committed records, whatever today's names of their keys are."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tokensieve_bench import records
from tokensieve_bench.places import SHOWN
from tokensieve_bench.records import Results
from tokensieve_bench.report import pages
from tokensieve_bench.report.result_pages import ALL_PAGES

ROOT = Path(__file__).parents[3]


def no_picture(*_: Any) -> None:
    """Takes the place of a plot: a picture of another matplotlib differs in its bytes."""


def test_the_committed_pages_follow_from_the_committed_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte for byte, from pages whose tables are empty."""
    for name in ("plot", "frontier_plot", "contender_plot"):
        monkeypatch.setattr(pages, name, no_picture)
    for page in ALL_PAGES:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / page).write_text(emptied((ROOT / page).read_text(encoding="utf-8")), encoding="utf-8")
    pages.report(Results(SHOWN), tmp_path)
    for page in ALL_PAGES:
        assert (tmp_path / page).read_bytes() == (ROOT / page).read_bytes(), page


def emptied(page: str) -> str:
    """A page with nothing between its markers."""
    lines, inside = [], False
    for line in page.splitlines(keepends=True):
        marked = re.match(r"<!-- (/?)[\w-]+ -->", line)  # other comments are for whoever runs the page's blocks
        inside = inside and not (marked and marked[1])
        if not inside:
            lines.append(line)
        inside = inside or bool(marked and not marked[1])
    assert len(lines) < len(page.splitlines())
    return "".join(lines)


def test_old_keys_have_todays_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(records.RENAMED, "0.1.0", {"subjects": "contenders", "kind": "engine"})
    record = {"subjects": {"dense": {"kind": "onnx"}}, "cells": [{"subjects": 1, "batch": 2}]}
    for version in ("0.1.0", "results"):
        (tmp_path / version / "bench").mkdir(parents=True)
        (tmp_path / version / "bench" / "one.json").write_text(json.dumps(record), encoding="utf-8")
    wanted = {"contenders": {"dense": {"engine": "onnx"}}, "cells": [{"contenders": 1, "batch": 2}]}
    assert Results(tmp_path / "0.1.0").read("bench/one") == wanted
    assert Results(tmp_path / "results").read_all("bench/*") == {"one": record}


def test_what_the_first_runs_did_not_say(tmp_path: Path) -> None:
    runs = [
        {"settings": {"reread": 0.08}},
        {"settings": {"reread": 0.08}, "reread": 0.02, "bf16": False},
        {"settings": {"reread": 0.0}, "reread": None},
        {"settings": {"defer": {"share": 0.08}}, "deferred": 0.03},
        {},
    ]
    (tmp_path / "some.json").write_text(json.dumps({"runs": runs}), encoding="utf-8")
    found = Results(tmp_path).read("some")["runs"]
    assert [run["deferred"] for run in found] == [0.08, 0.02, 0.0, 0.03, 0.0]
    assert [run["bf16"] for run in found] == [True, False, True, True, True]


def test_old_names_of_variants_are_todays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As keys, as values, and in the config that a record repeats."""
    monkeypatch.setitem(records.VARIANTS, "0.1.0", {"none again": "none deferred"})
    record = {"config": {"variants": {"none again": {}}}, "runs": [{"variant": "none again"}, {"variant": "dense"}]}
    (tmp_path / "0.1.0").mkdir()
    (tmp_path / "0.1.0" / "one.json").write_text(json.dumps(record), encoding="utf-8")
    found = Results(tmp_path / "0.1.0").read("one")
    assert list(found["config"]["variants"]) == ["none deferred"]
    assert [run["variant"] for run in found["runs"]] == ["none deferred", "dense"]


def test_commands_of_old_records_use_set() -> None:
    old = ["--preset", "dense", "--pooling", "mean", "--select", "accuracy", "--epochs", "4"]
    new = ["--preset", "dense", "--set", "pooling=mean", "--set", "train.select=accuracy", "--epochs", "4"]
    assert records.command_of_today(old) == new
    assert records.command_of_today(new) == new


def test_a_record_that_is_not_there(tmp_path: Path) -> None:
    assert not Results(tmp_path).has("accuracy/none")
    assert Results(tmp_path).read_all("accuracy/*") == {}
    assert Results(SHOWN).has("accuracy/bbc-256")
