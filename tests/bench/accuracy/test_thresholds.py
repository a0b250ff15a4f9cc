"""The study of the threshold on a tiny classifier: what it records, that it goes on, and its table and picture."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import thresholds

from bench.made_up import train_dense, write_set
from tokensieve_bench.process import thread_variables
from tokensieve_bench.records import Results
from tokensieve_bench.report.thresholds import (
    chosen,
    points_gained,
    threshold_plot,
    threshold_records,
    threshold_tables,
    times_faster,
)

CONFIG: dict[str, Any] = {
    "sets": {"made-up": {"train": 60, "validation": 20, "test": 30}},
    "start": "cascade",
    "preset": "summary-p",
    "relative": "maximum",
    "thresholds": [0.95, 0.98],
    "max_length": 64,
    "seed": 0,
    "timed": {"documents": 10, "rounds": 2},
    "memory": {"documents": 5},
}


@pytest.fixture
def study(tiny_bert_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data, a dense classifier and a config; results and classifiers go below the folder, too."""
    write_set(tmp_path / "data" / "made-up")
    (tmp_path / "thresholds.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    train_dense(tiny_bert_dir, tmp_path / "dense")
    for name, place in (("RESULTS", tmp_path / "results"), ("ROOT", tmp_path)):
        monkeypatch.setattr(thresholds, name, place)
    for name in thread_variables(1):
        monkeypatch.setenv(name, "3")  # the script sets its own; what was there comes back
    command = [str(tmp_path / "thresholds.json"), "--data", str(tmp_path / "data"), "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["thresholds.py", *command, "--dense", f"made-up={tmp_path / 'dense'}"])
    return tmp_path


def test_the_study(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thresholds.main()
    target = study / "results" / "thresholds" / "made-up.json"
    record = json.loads(target.read_text(encoding="utf-8"))
    points = record["points"]
    assert list(points) == ["dense", "0.95", "0.98"]
    for split, count in (("validation", 20), ("test", 30)):
        found = [point[split] for point in points.values()]
        assert all(len(own["right"]) == count for own in found)
        assert all(own["accuracy"] == own["right"].count("1") / count for own in found)
        kept = [own["share_kept"] for own in found]
        assert kept[0] == 1.0 and kept == sorted(kept, reverse=True) and len(set(kept)) == 3
    assert os.environ["RAYON_NUM_THREADS"] == os.environ["OMP_NUM_THREADS"] == "1"
    assert {len(own) for own in record["seconds"].values()} == {2}
    assert all(own["peak_bytes"] >= own["loaded_bytes"] > 0 for own in record["memory"].values())
    assert set(record["importance_r2"]) == {"1"} and -1 <= record["importance_agreement"]["1"]["spearman"] <= 1

    results = Results(study / "results")
    assert list(threshold_records(results)) == ["made-up"]
    assert "| 0.98 |" in threshold_tables(results) and "3.5 times faster" in threshold_tables(results)
    assert times_faster(record, "dense") == 1.0
    assert not points_gained(record, "dense", "validation").any()
    threshold_plot(results, study / "plot.svg")
    assert ">0.95<" in (study / "plot.svg").read_text(encoding="utf-8")

    written = target.stat().st_mtime_ns
    monkeypatch.setattr(thresholds.Study, "answered", lambda *_: pytest.fail("it was answered already"))
    thresholds.main()
    assert target.stat().st_mtime_ns == written, "nothing was left to do"
    (study / "results" / "thresholds" / "made-up.json").write_text(json.dumps(record | {"dense_digest": "another"}))
    with pytest.raises(pytest.fail.Exception, match="answered already"):
        thresholds.main()


def point(validation: str, test: str) -> dict[str, Any]:
    about = {"share_kept": 0.5, "mean_length": 9.0}
    return {
        split: {"accuracy": own.count("1") / len(own), "right": own, **about}
        for split, own in (("validation", validation), ("test", test))
    }


def made(**points: dict[str, Any]) -> dict[str, Any]:
    """A record of points, the later the faster."""
    return {
        "config": CONFIG,
        "points": points,
        "seconds": {name: [8.0 / (number + 1), 8.0] for number, name in enumerate(points)},
        "memory": {name: {"peak_bytes": 3, "loaded_bytes": 1} for name in points},
        "machine": {"commit": "ab" * 20 + "+", "processor": "a chip", "threads": 2},
    }


ALL = "1" * 400


def test_a_threshold_is_chosen_by_validation_documents(tmp_path: Path) -> None:
    """What loses 3 of 400 documents may lose more than half a point, which the interval does not exclude."""
    points = {"dense": point(ALL, ALL), "a": point(ALL, "0" * 40 + ALL[40:]), "b": point("000" + ALL[3:], ALL)}
    record = made(**points)
    assert chosen(record) == "a"
    (tmp_path / "thresholds").mkdir()
    (tmp_path / "thresholds" / "toy.json").write_text(json.dumps(record), encoding="utf-8")
    told = threshold_tables(Results(tmp_path))
    assert "Here the threshold a is chosen. It is 1.50 times faster" in told
    assert "has -10.00 [" in told and "on 400 test documents" in told
    assert "| a | 50.0% | 1.0000 | +0.00 [+0.00, +0.00] | 1.50 | 1.00 |" in told
    assert "Chosen is the fastest threshold whose interval there stays above -0.5 points" in told
    assert "- Speed: 2 interleaved rounds of 10 documents, 2 threads; commit ababababab+; a chip" in told
    del record["points"]["a"], record["memory"]["a"]
    assert chosen(record) is None
    (tmp_path / "thresholds" / "toy.json").write_text(json.dumps(record), encoding="utf-8")
    told = threshold_tables(Results(tmp_path))
    assert "the validation documents show of no threshold that it loses less than 0.5 points" in told
    assert "test documents" not in told


def test_without_a_dense_classifier_it_says_so(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "dense" / "model.safetensors").unlink()
    with pytest.raises(SystemExit, match=r"^2$"):
        thresholds.main()
    assert "--dense made-up=FOLDER" in capsys.readouterr().err


def test_without_records_the_table_says_so(tmp_path: Path) -> None:
    assert threshold_tables(Results(tmp_path)) == "Not yet."
