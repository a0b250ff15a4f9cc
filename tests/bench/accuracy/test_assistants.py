"""The search on few-shot tasks: what a task may see, what a record keeps, and the tables that are made of it."""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import assistants
import pytest

from tokensieve.tune.assistants import Trial, row_of
from tokensieve.tune.configurations import Configuration, Encoders
from tokensieve_bench.records import Results
from tokensieve_bench.report.assistants import assistants_tables, ratio_of, rows_of
from unit.tune.few_shot_tasks import labelled, task

LABELS = ["film", "law", "sport"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two sets of three labels."""
    for number, name in enumerate(("first", "second")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for split, rows in (("train", labelled(60, number)), ("test", labelled(30, number + 10))):
            with gzip.open(tmp_path / "data" / name / f"{split}.jsonl.gz", "wt", encoding="utf-8") as file:
                file.writelines(json.dumps({"text": row.text, "label": row.label}) + "\n" for row in rows)
    return tmp_path / "data"


CONFIG: dict[str, Any] = {
    "shots": [2, 4],
    "draws": 2,
    "seed": 0,
    "tolerances": [100.0, 0.0],
    "families": {
        "short": {
            "max_length": 32,
            "grid": {"min_lengths": [1, 8], "quantiles": [0.5], "layers": [1, 2], "merged": [False]},
            "test": 12,
            "held_test": 18,
            "whole_test": 24,
            "timed": 8,
            "tasks": {
                "first: a": {"data": "first", "labels": ["film", "law"]},
                "first: b": {"data": "first", "part": [0, 1]},
                "second: a": {"data": "second"},
            },
            "whole": {"first": {"data": "first"}},
        }
    },
}


@pytest.fixture
def run(tmp_path: Path, data: Path, tiny_bert_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`run(config, *options)` runs the script on the tiny model, and gives the record."""
    folder = tmp_path / "results" / "assistants"
    monkeypatch.setattr(assistants, "FOLDER", folder)
    monkeypatch.setattr(assistants, "Encoders", lambda **options: Encoders(tiny_bert_dir, **options))

    def call(config: dict[str, Any], *options: str) -> dict[str, Any]:
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        given = ["assistants.py", str(tmp_path / "config.json"), "--data", str(data), "--threads", "1", *options]
        monkeypatch.setattr(sys, "argv", given)
        assistants.main()
        found: dict[str, Any] = json.loads((folder / "short.json").read_text(encoding="utf-8"))
        return found

    return call


def test_a_task_is_left_out_of_its_own_search_and_a_set_of_all_of_its_tasks(run: Any, tmp_path: Path) -> None:
    record = run(CONFIG)
    assert len(record["trials"]) == 1 + 2 * 2
    held = {(entry["task"], entry["shots"], entry["tolerance"]): entry for entry in record["held_out"]}
    assert len(held) == 4 * 2 * 2
    assert {name: entry["searched"] for (name, *_), entry in held.items()} == {
        "first: a": 2,
        "first: b": 2,
        "second: a": 2,
        "first": 1,
    }
    cheapest = held["first", 2, 100.0]
    rows = rows_of(record, ["second: a"], 2)
    assert cheapest["configuration"] == list(min(rows, key=lambda row: row.flops).configuration or ())
    assert cheapest["expected"] == min(rows, key=lambda row: row.flops).change
    assert cheapest["flops"] < 1
    assert cheapest["interval"][0] <= cheapest["change"] <= cheapest["interval"][1]
    tests = {name: own["test"] for name, own in record["tasks"].items()}
    assert tests == {
        **dict.fromkeys(("first: a", "first: b", "second: a"), 12),
        **dict.fromkeys(("first: a, held out", "first: b, held out", "second: a, held out"), 18),
        "first, held out": 24,
    }
    table = assistants_tables(Results(tmp_path / "results"))
    assert table.count("| first: a, ") == 2
    assert "Time was not measured yet" in table
    file = tmp_path / "results" / "assistants" / "short.json"
    file.write_text(json.dumps({**record, "trials": record["trials"][:-1], "held_out": []}), encoding="utf-8")
    table = assistants_tables(Results(tmp_path / "results"))
    assert "3 of 4 configurations are tried" in table
    others = [{"commit": "d" * 40 + "+", "processor": "another"}]
    file.write_text(json.dumps({**record, "machine": others[0], "machines": others}), encoding="utf-8")
    assert "- commit dddddddddd+; another\n" in assistants_tables(Results(tmp_path / "results"))
    file.write_text(json.dumps({key: record[key] for key in record if not key.startswith("machine")}), encoding="utf-8")
    assert "- The record names no commit." in assistants_tables(Results(tmp_path / "results"))
    assert "| first: a, " not in table


def test_older_figures_keep_their_machine(run: Any, tmp_path: Path) -> None:
    narrow = json.loads(json.dumps(CONFIG))
    narrow["families"]["short"]["grid"]["layers"] = [1]
    record = run(narrow)
    trials = [{key: own[key] for key in own if key != "machine"} for own in record["trials"]]
    older = {**{key: record[key] for key in record if key != "machines"}, "trials": trials}
    file = tmp_path / "results" / "assistants" / "short.json"
    file.write_text(json.dumps({**older, "machine": {"commit": "e" * 40, "processor": "older"}}), encoding="utf-8")
    after = run(CONFIG)
    assert after["machine"]["processor"] == "older" and len(after["machines"]) == 1
    assert "eeeeeeeeee" in assistants_tables(Results(tmp_path / "results"))
    unnamed = {key: after[key] for key in after if key != "machine"} | {"trials": [*trials, *after["trials"][3:]]}
    file.write_text(json.dumps(unnamed), encoding="utf-8")
    assert "Some trials of the search name no commit." in assistants_tables(Results(tmp_path / "results"))


def test_a_second_run_goes_on_and_a_wider_grid_keeps_the_trials(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = json.loads(json.dumps(CONFIG))
    narrow["families"]["short"]["grid"]["layers"] = [1]
    before = run(narrow)
    tried: list[Configuration] = []
    trials = assistants.trials

    def noted(encoders: Any, tasks: Any, encoded: Any, *rest: Any) -> Any:
        tried.extend(encoded if len(tasks) > 1 else [])
        return trials(encoders, tasks, encoded, *rest)

    monkeypatch.setattr(assistants, "trials", noted)
    monkeypatch.setattr(assistants, "machine", lambda _: {"processor": "another"})
    assert run(narrow) == before, "nothing was computed, so the machine is that of the figures"
    assert tried == []
    after = run(CONFIG)
    assert tried == [Configuration(0, 0.5, 2)]
    assert after["trials"][: len(before["trials"])] == before["trials"]
    assert [own["processor"] for own in after["machines"]] == [before["machines"][0]["processor"], "another"]
    assert {own["machine"] for own in after["trials"][: len(before["trials"])]} == {0}
    assert {own["machine"] for own in (*after["trials"][len(before["trials"]) :], *after["held_out"])} == {1}
    assert len(after["held_out"]) == 16
    narrow["draws"] = 1
    assert len(run(narrow)["trials"]) == 3, "other shots: nothing is kept"


def test_a_family_that_the_config_lacks(run: Any) -> None:
    with pytest.raises(SystemExit, match="--family long: choose one of short"):
        run(CONFIG, "--family", "long")


def test_times_are_of_what_was_taken(run: Any, tmp_path: Path) -> None:
    run(CONFIG)
    record = run(CONFIG, "--time")
    for entry in record["held_out"]:
        for what in ("batch", "alone"):
            ratio = ratio_of(record, entry, what)
            assert ratio is not None
            assert ratio == 1 if entry["configuration"] is None else 0 < ratio < 50
    assert "Time, from text to vector" in assistants_tables(Results(tmp_path / "results"))
    with pytest.raises(SystemExit, match="give more --minutes"):
        run(CONFIG, "--time", "--minutes", "0")


def test_an_interval_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 45 test documents and 3 draws: 5 documents lose all draws, one gains one."""
    import numpy as np

    made = task("made", 0)
    before = np.full(45, 2)
    after = before.copy()
    after[:5], after[10] = 0, 3
    dense, trial = (Trial(None, {4: {"made": right}}, {"made": 1.0}) for right in (before, after))
    found = assistants.held_out(made, trial, dense, 4)
    gaps = 100 * np.array([-2 / 3] * 5 + [1 / 3] + [0] * 39)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["change"] == pytest.approx(gaps.mean()) == pytest.approx(row_of(trial, dense, 4, [made]).change)
    assert found["interval"][1] - found["change"] == pytest.approx(1.959964 * gaps.std() / 45**0.5)


def test_labels_of_a_task() -> None:
    names = [f"label {number}" for number in range(7)]
    assert assistants.labels_of({"labels": ["b", "a"]}, names) == ["b", "a"]
    assert assistants.labels_of({}, names) == names
    parts = [list(assistants.labels_of({"part": [number, 3]}, names)) for number in range(3)]
    assert [label for part in parts for label in part] == names
    assert [len(part) for part in parts] == [3, 2, 2]
