"""Records in results/: none is large, and a record of runs is a folder with a file for each variant or seed."""

import json
from pathlib import Path
from typing import Any

import pytest

from tokensieve_bench.record_files import COMMON, file_of, in_order, is_record, read_record, write_record

RESULTS = Path(__file__).parents[2] / "results"
FILES = sorted(file for file in RESULTS.rglob("*") if file.is_file())
LARGEST = 1024 * 1024
BY_SET = ("int8", "series")
"""Folders with a file for each data set, whose few runs stand in it."""

needs_results = pytest.mark.skipif(not FILES, reason="a source archive has no results")


@needs_results
def test_no_file_is_large() -> None:
    assert len(FILES) > 100
    assert {str(file.relative_to(RESULTS)) for file in FILES if file.stat().st_size > LARGEST} == set()


@needs_results
def test_records_with_runs_are_folders() -> None:
    folders = {file.parent for file in FILES if file.name == COMMON}
    assert len(folders) > 20
    for folder in folders:
        assert not folder.with_name(f"{folder.name}.json").exists(), f"{folder} is there twice"
        names = {file.name for file in folder.glob("*.json")} - {COMMON}
        assert names == {file_of(run) for run in read_record(folder)["runs"]}
    by_set = {RESULTS / name for name in BY_SET}
    whole = [file for file in FILES if file.suffix == ".json" and file.parent not in folders | by_set]
    assert [file for file in whole if "runs" in json.loads(file.read_text(encoding="utf-8"))] == []


def record(*runs: tuple[str, int]) -> dict[str, Any]:
    variants: dict[str, Any] = {".42 to .10, 9 %": {}, "dense": {}}
    return {
        "config": {"variants": variants},
        "truth": [0, 1],
        "runs": [{"variant": variant, "seed": seed, "score": 1 / (seed + 3)} for variant, seed in runs],
    }


def test_what_is_written_is_read(tmp_path: Path) -> None:
    whole = record((".42 to .10, 9 %", 0), (".42 to .10, 9 %", 3), ("dense", 0), ("dense", 3))
    write_record(tmp_path / "some", whole)
    assert {file.name for file in (tmp_path / "some").iterdir()} == {COMMON, "42-to-.10-9.json", "dense.json"}
    assert read_record(tmp_path / "some") == whole
    assert is_record(tmp_path / "some")
    assert not is_record(tmp_path / "other")


def test_what_a_record_no_longer_has_goes(tmp_path: Path) -> None:
    write_record(tmp_path / "some", record((".42 to .10, 9 %", 0), ("dense", 0)))
    (tmp_path / "some" / "seed0-words.safetensors").write_bytes(b"")
    write_record(tmp_path / "some", record(("dense", 1)))
    assert {file.name for file in (tmp_path / "some").iterdir()} == {COMMON, "dense.json", "seed0-words.safetensors"}
    assert read_record(tmp_path / "some") == record(("dense", 1))


def test_runs_without_variants_have_a_file_a_seed(tmp_path: Path) -> None:
    whole = {"config": {"variants": {}}, "runs": [{"seed": 2}, {"seed": 10}]}
    write_record(tmp_path / "some", whole)
    assert {file.name for file in (tmp_path / "some").iterdir()} == {COMMON, "seed2.json", "seed10.json"}
    assert read_record(tmp_path / "some") == whole


def test_order() -> None:
    runs = record(("dense", 1), (".42 to .10, 9 %", 2), ("dense", 0), ("gone", 0))["runs"]
    found = in_order(runs, record()["config"]["variants"])
    assert [(run["variant"], run["seed"]) for run in found] == [
        (".42 to .10, 9 %", 2),
        ("dense", 0),
        ("dense", 1),
        ("gone", 0),
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [(("a b", "a-b"), "two variants have this file name"), (("common",), "gives no file name"), (("..",), "gives no")],
)
def test_names_that_make_no_file(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        write_record(tmp_path / "some", record(*((name, 0) for name in names)))
    assert not (tmp_path / "some").exists()
