"""Seeds that were trained on different machines come together, by a run of train.py and by merge.py."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import train
from merge import merge

from tokensieve_bench import runs
from tokensieve_bench.record_files import read_record, write_record

VARIANTS = {"dense": {"pruning": "none"}, "some p=.7": {"start": "dense", "keep_ratio": 0.7}}
CONFIG: dict[str, Any] = {"data": "toy", "documents": {}, "seeds": [0, 1, 2], "recipe": {"epochs": 1}}
TRUTH = [0, 1, 1]


def run_of(variant: str, seed: int) -> dict[str, Any]:
    return {"variant": variant, "seed": seed, "predicted": [seed % 2, 1, 1]}


def record(*seeds: int, **changes: Any) -> dict[str, Any]:
    made = [run_of(variant, seed) for variant in VARIANTS for seed in seeds]
    return {"config": CONFIG | {"variants": VARIANTS}, "truth": TRUTH, "runs": made} | changes


def keys(place: Path) -> list[tuple[str, int]]:
    return [(run["variant"], run["seed"]) for run in read_record(place)["runs"]]


ALL = [(variant, seed) for variant in VARIANTS for seed in (0, 1, 2)]


def as_folder(folder: Path, whole: dict[str, Any]) -> Path:
    write_record(folder / "toy", whole)
    return folder / "toy"


def as_file(folder: Path, whole: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "toy.json").write_text(json.dumps(whole), encoding="utf-8")
    return folder / "toy.json"


@pytest.mark.parametrize("written", [as_folder, as_file])
def test_merge(tmp_path: Path, written: Callable[[Path, dict[str, Any]], Path]) -> None:
    """The seeds that are named take the place of the same ones; the others stay."""
    changed = record(1, 2)
    changed["runs"][0]["predicted"] = [9, 9, 9]
    elsewhere = written(tmp_path / "elsewhere", changed)
    place = as_folder(tmp_path, record(0, 1))
    merge(elsewhere, tmp_path)
    assert keys(place) == ALL
    assert [run["predicted"] for run in read_record(place)["runs"]][:3] == [[0, 1, 1], [9, 9, 9], [0, 1, 1]]


def test_merge_into_nothing(tmp_path: Path) -> None:
    merge(as_file(tmp_path / "elsewhere", record(1)), tmp_path / "results")
    assert read_record(tmp_path / "results" / "toy") == record(1)


@pytest.mark.parametrize("changes", [{"truth": [1, 1, 1]}, {"config": CONFIG | {"variants": VARIANTS, "recipe": {}}}])
def test_what_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    place = as_folder(tmp_path, record(0))
    elsewhere = as_folder(tmp_path / "elsewhere", record(1, **changes))
    with pytest.raises(SystemExit, match="made of other documents, or by another recipe or variants"):
        merge(elsewhere, tmp_path)
    assert read_record(place) == record(0)


def test_no_record(tmp_path: Path) -> None:
    place = as_folder(tmp_path, record(0))
    with pytest.raises(SystemExit, match="there is no record"):
        merge(tmp_path / "absent.json", tmp_path)
    with pytest.raises(SystemExit, match="the record to merge into"):
        merge(place, tmp_path)
    (tmp_path / "cost.json").write_text("{}")
    with pytest.raises(SystemExit, match="it has no runs"):
        merge(tmp_path / "cost.json", tmp_path)


def test_a_run_here_goes_on_with_the_record_of_other_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a seed are made together: one that is made here takes the place of both of its variants."""
    monkeypatch.setattr(train, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(runs, "RUNS", tmp_path / "runs")
    place = as_folder(tmp_path / "results" / "accuracy", record(0, 1))
    folder = tmp_path / "runs" / "toy" / "dense-seed1"
    folder.mkdir(parents=True)
    run = {**run_of("dense", 1), "truth": TRUTH, "predicted": [5, 5, 5]}
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    train.collect(record()["config"], "toy")
    assert keys(place) == [("dense", 0), ("dense", 1), ("some p=.7", 0)]
    assert read_record(place)["runs"][1]["predicted"] == [5, 5, 5]
