"""The comparison of methods on a tiny classifier: its jobs, and their seconds."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import leaderboard
import pytest

from bench.made_up import train_dense, write_set
from tokensieve_bench.process import thread_variables
from tokensieve_bench.runs import run_folder, weights_digest

CONFIG: dict[str, Any] = {
    "sets": {"made-up": {}},
    "dense": {"config": "cascade", "seed": 1},
    "shares": [0.6],
    "recipe": {"epochs": 1, "batch_size": 8, "max_length": 64, "floors": "none", "calibrate": False, "seed": 1},
    "left_out": {"dense": "it is the start of all others"},
    "published": [],
    "layers": {},
    "timed": {"documents": 8, "rounds": 2},
}


@pytest.fixture
def folder(tiny_bert_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data, a dense run and a config; the command line asks for one row, and dense is always with it."""
    write_set(tmp_path / "data" / "made-up")
    (tmp_path / "leaderboard.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    for module in ("tokensieve_bench.runs", "leaderboard"):
        monkeypatch.setattr(f"{module}.RUNS", tmp_path / "runs")
    monkeypatch.setattr("tokensieve_bench.leaderboard.RESULTS", tmp_path / "results")
    dense = run_folder("cascade-made-up", "dense", 1)
    dense.parent.mkdir(parents=True)
    train_dense(tiny_bert_dir, dense)
    for name in thread_variables(1):
        monkeypatch.setenv(name, "1")  # the script sets its own; what was there comes back
    command = [str(tmp_path / "leaderboard.json"), "--data", str(tmp_path / "data"), "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["leaderboard.py", *command, "--row", "random"])
    return tmp_path


def run_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run the jobs that are left in this process; their names."""
    done: list[str] = []

    def run(command: list[str], check: bool) -> Any:
        place = command.index("--job")
        done.append(command[place + 2])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", command[1:])
            leaderboard.main()
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(leaderboard, "subprocess", SimpleNamespace(run=run))
    leaderboard.main()
    return done


def test_every_job_is_measured_once_and_timed_beside_dense(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = weights_digest(run_folder("cascade-made-up", "dense", 1))
    base = f"dense-{digest[:8]}-at-published"
    assert run_here(monkeypatch) == [base, "random-at-0.6"]
    assert run_here(monkeypatch) == []
    monkeypatch.setattr(leaderboard, "TOGETHER", 1)  # each job is a group of its own
    records = {path.stem: json.loads(path.read_text("utf-8")) for path in (folder / "results").rglob("*.json")}
    assert {record["dense_digest"] for record in records.values()} == {digest}
    assert records["random-at-0.6"]["trained"]["flops"] == pytest.approx(0.6, abs=0.05)
    assert records[base]["trained"]["flops"] == pytest.approx(1, abs=1e-3)
    assert all(len(record["fitted"]["right"]) == 30 for record in records.values())

    monkeypatch.setattr(sys, "argv", [*sys.argv, "--time"])
    leaderboard.main()
    for path in (folder / "results").rglob("*.json"):
        record = json.loads(path.read_text("utf-8"))
        assert {name: len(own) for name, own in record["seconds"].items()} == {"dense": 2, "own": 2}
        assert record["timed_documents"] == 8
    monkeypatch.setattr(sys, "argv", sys.argv[:-1])
    shutil.rmtree(folder / "runs" / "methods")
    assert run_here(monkeypatch) == [], "what was timed is not repeated"
    (folder / "results" / "methods" / "made-up" / "random-at-0.6.json").write_text('{"dense_digest": "another"}')
    assert run_here(monkeypatch) == ["random-at-0.6"]
