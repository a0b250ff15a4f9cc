"""The record of int8's answers: runs that it has are not repeated, and its table follows from it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import quantized

from tokensieve_bench.records import Results
from tokensieve_bench.report.int8 import int8_tables

CONFIG: dict[str, Any] = {"data": "toy", "variants": {"dense": {}, "fast": {}}, "headline": ["dense", "fast"]}
TRUTH = [0, 1, 1, 0]


def run_in(folder: Path, seed: int, predicted: list[int], truth: list[int] = TRUTH) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"seed": seed, "truth": truth, "predicted": predicted})
    (folder / "run.json").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The runs that are measured; int8 changes the last label of each."""
    places: list[Path] = []

    def measured(config: Any, place: Path, trained: dict[str, Any], arguments: Any) -> dict[str, Any]:
        places.append(place)
        after = [*trained["predicted"][:-1], 1 - trained["predicted"][-1]]
        return {
            "gate": {"documents": 9, "labels_changed": 0.25, "mean_change": 0.001, "attention": "float32"},
            "float32": trained["predicted"],
            "int8": after,
            "machine": {"commit": "0123456789abcdef+", "processor": "a processor"},
            "trained_on": {"commit": "d" * 40 + "+", "processor": "another"},
        }

    monkeypatch.setattr(quantized, "measured", measured)
    return places


def test_runs_that_the_record_has_are_not_repeated(tmp_path: Path, asked: list[Path]) -> None:
    file, arguments = tmp_path / "int8" / "toy.json", SimpleNamespace()
    second = run_in(tmp_path / "fast-seed2", 2, [0, 1, 1, 1])
    first = run_in(tmp_path / "dense-seed1", 1, [0, 1, 1, 0])
    for _ in range(2):
        for place, variant in ((second, "fast"), (first, "dense")):
            quantized.add_run(file, CONFIG, variant, place, arguments)
    assert asked == [second, first]
    record = json.loads(file.read_text(encoding="utf-8"))
    assert [(run["variant"], run["seed"]) for run in record["runs"]] == [("dense", 1), ("fast", 2)]
    run_in(first, 1, [1, 1, 1, 0])
    quantized.add_run(file, CONFIG, "dense", first, arguments)
    assert asked == [second, first, first], "it was trained anew"
    assert len(json.loads(file.read_text(encoding="utf-8"))["runs"]) == 2
    with pytest.raises(SystemExit, match="are not those of"):
        quantized.add_run(file, CONFIG, "dense", run_in(tmp_path / "other", 3, [0, 1], [0, 1]), arguments)


def test_the_table_follows_from_the_record(tmp_path: Path, asked: list[Path]) -> None:
    assert int8_tables(Results(tmp_path)) == "Nothing is measured yet."
    for seed, predicted in ((1, [0, 1, 1, 0]), (2, [0, 1, 1, 1])):
        place = run_in(tmp_path / f"dense-seed{seed}", seed, predicted)
        quantized.add_run(tmp_path / "int8" / "toy.json", CONFIG, "dense", place, SimpleNamespace())
    text = int8_tables(Results(tmp_path))
    assert "| toy | dense | 1, 2 | 4 | 0.8750 | 0.8750 | +0.00 [+0.00, +0.00] | 25.00% |" in text
    assert "- at most 0.2 points lost, all documents together: met, on 0 of 5 sets" in text
    assert "- at most 1.5% of the labels changed: missed, on 0 of 5 sets" in text
    assert "tried again for 2 of 2 runs" in text
    assert "- commit 0123456789+; a processor" in text
    assert "- encoders trained: commit dddddddddd+; another" in text


def test_bars_say_how_far_the_interval_and_the_evidence_reach(tmp_path: Path) -> None:
    """One of 1,000 documents is lost: 0.1 points, and by the interval perhaps 0.3; bbc has one classifier alone."""
    truth, machine = [0] * 1000, {"commit": None, "processor": "a processor"}
    gate = {"labels_changed": 0.0, "mean_change": 0.0}
    (tmp_path / "int8").mkdir()
    for data, variants in (("imdb", ("dense", "fast")), ("bbc", ("dense",))):
        runs = [
            {"variant": own, "seed": 2, "float32": truth, "int8": [1, *truth[1:]], "gate": gate, "machine": machine}
            | {"trained_on": machine}
            for own in variants
        ]
        record = {"data": data, "truth": truth, "runs": runs}
        (tmp_path / "int8" / f"{data}.json").write_text(json.dumps(record), encoding="utf-8")
    text = int8_tables(Results(tmp_path))
    assert "together: met by the mean, on 1 of 5 sets; the interval reaches -0.25" in text
    assert "- at most 1.5% of the labels changed: met, on 1 of 5 sets" in text
    assert "- commit unknown; a processor" in text
