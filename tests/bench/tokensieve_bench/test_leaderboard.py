"""The comparison of methods: every row is in it, at the share that it says, and the table pairs the same documents."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from leaderboard import folder_of, is_done

from support.paths import ROOT
from tokensieve import TokensieveConfig
from tokensieve.methods import METHODS
from tokensieve_bench.leaderboard import PUBLISHED, Job, at_share, flops_share, jobs_of
from tokensieve_bench.report.leaderboard import leaderboard, set_tables

CONFIG = json.loads((ROOT / "benchmarks/configs/methods/leaderboard.json").read_text(encoding="utf-8"))
LENGTHS = [100, 256]


@pytest.fixture(scope="module")
def dense() -> TokensieveConfig:
    plain = METHODS["dense"].settings.to_dict()
    return TokensieveConfig(
        num_hidden_layers=6, hidden_size=384, intermediate_size=1536, num_attention_heads=12, reduction=plain
    )


@pytest.fixture(scope="module")
def jobs(dense: TokensieveConfig) -> list[Job]:
    return list(jobs_of(CONFIG, "imdb", dense, LENGTHS, "0123456789"))


def test_every_method_has_a_job_or_a_reason_for_none(jobs: list[Job]) -> None:
    rows = {job.row for job in jobs}
    assert rows >= METHODS.keys() - CONFIG["left_out"].keys()
    assert rows >= CONFIG["layers"].keys()


def test_names_of_jobs_are_different(jobs: list[Job]) -> None:
    assert len({job.record for job in jobs}) == len(jobs)


def test_a_dialed_job_costs_its_share(jobs: list[Job], dense: TokensieveConfig) -> None:
    dialed = [job for job in jobs if job.share != PUBLISHED]
    assert {job.share for job in dialed} == {"0.5", "0.3"}
    for job in dialed:
        assert flops_share(job.settings, dense, LENGTHS) == pytest.approx(float(job.share), abs=0.01), job.name


def test_a_row_that_cannot_reach_a_share_has_no_dial(dense: TokensieveConfig) -> None:
    """At site "keys" all rows go through the feed-forward layers, whatever leaves."""
    assert at_share(METHODS["paper-p"].settings, dense, LENGTHS, 0.5) is None


def _record(folder: Path, data: str, row: str, share: str, right: str, **more: Any) -> None:
    scored = {"accuracy": right.count("1") / len(right), "right": right, "flops": 0.5}
    record = {
        "row": row,
        "share": share,
        "data": data,
        "fitted": scored,
        "trained": scored,
        "documents": {"test": len(right)},
        "recipe": {"max_length": 256, "seed": 1, "learning_rate": 1e-4},
        "machine": {"commit": "0" * 40, "processor": "a processor"},
        **more,
    }
    (folder / data).mkdir(parents=True, exist_ok=True)
    (folder / data / f"{row}-{share}.json").write_text(json.dumps(record), encoding="utf-8")


def test_the_table_pairs_documents_and_sets(tmp_path: Path) -> None:
    for data in ("a", "b"):
        _record(tmp_path, data, "dense", PUBLISHED, "1100")
    on = {"timed_on": {"commit": "c" * 40, "processor": "another", "threads": 2}}
    _record(tmp_path, "a", "random", "0.5", "1110", seconds={"dense": [2.0, 4.0], "own": [1.0, 1.0]}, **on)
    changed = {"machine": {"commit": "1" * 40 + "+", "processor": "a processor"}}
    _record(tmp_path, "b", "random", "0.5", "1100", seconds={"dense": [3.0], "own": [1.0]}, **on, **changed)
    _record(tmp_path, "a", "3 layers", PUBLISHED, "0000")
    lines = leaderboard(tmp_path).splitlines()
    ours, layers = (next(line for line in lines if f" {name} " in line) for name in ("`random`", "3 layers *"))
    assert "+12.50 [" in ours  # one document of eight
    assert "3.00 (2.00-4.00)" in ours
    assert "-50.00 [" in layers  # against the one set that it has
    assert lines.index(ours) < lines.index(layers)
    assert set_tables(tmp_path).count("`random`") == 2
    assert "`tome`" in lines[-1]  # has no record
    assert "`random`" not in lines[-1]
    assert "- commits 0000000000, 1111111111+; a processor" in lines
    assert "- speed: 2 threads; commit cccccccccc; another" in lines


def test_a_row_is_compared_with_the_dense_classifier_that_it_started_from(tmp_path: Path) -> None:
    _record(tmp_path, "a", "dense", PUBLISHED, "1100")
    _record(tmp_path, "a", "random", "0.5", "1110")
    first = (tmp_path / "a" / "dense-published.json").rename(tmp_path / "a" / "dense-older-published.json")
    _record(tmp_path, "a", "dense", PUBLISHED, "0000", dense_digest="one")
    assert "All rows start from one dense classifier of each set." in leaderboard(tmp_path), (
        "none starts from the other"
    )
    assert first.is_file() and set_tables(tmp_path).count("`dense`") == 1
    _record(tmp_path, "a", "tome", "0.5", "1110", dense_digest="one")
    _record(tmp_path, "a", "first", "0.5", "1110", dense_digest="another")
    table = leaderboard(tmp_path)
    assert "| `random` | 0.50 | +25.00 [" in table and "| `tome` | 0.50 | +75.00 [" in table
    assert "The dense classifier was trained anew (2 for a)" in table
    assert "`first`" in table.splitlines()[-1], "its dense classifier has no record"
    own = set_tables(tmp_path)
    assert "`dense` (1): 0.5000" in own and "`dense` (2): 0.0000" in own
    assert "| `random` (1) |" in own and "| `tome` (2) |" in own


def test_a_job_is_done_when_it_was_timed_or_still_can_be(
    jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokensieve_bench.leaderboard.RESULTS", tmp_path)
    monkeypatch.setattr("leaderboard.RUNS", tmp_path / "runs")
    job = next(job for job in jobs if job.row == "random")
    assert not is_done(job)
    job.record.parent.mkdir(parents=True)
    timed = {"seconds": {"dense": [1.0], "own": [1.0]}}
    for record, without_classifier, with_classifier in (
        ({"dense_digest": job.start}, False, True),
        ({"dense_digest": "another"}, False, False),
        ({}, False, False),
        ({"dense_digest": "another"} | timed, True, True),
    ):
        job.record.write_text(json.dumps(record), encoding="utf-8")
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)
        assert is_done(job) == without_classifier, record
        folder_of(job).mkdir(parents=True)
        assert is_done(job) == with_classifier, record


def test_every_dense_classifier_has_its_own_record(jobs: list[Job]) -> None:
    assert [job.name for job in jobs if job.row == "dense"] == ["dense-01234567-at-published"]


def test_without_records_the_table_says_so(tmp_path: Path) -> None:
    assert leaderboard(tmp_path) == set_tables(tmp_path) == "Not measured yet."
