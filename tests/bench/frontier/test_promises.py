"""Whether a budget holds: points are chosen by validation documents and judged by test documents."""

import json
from pathlib import Path

import promises
import pytest
import torch
from safetensors.torch import save_file

from tokensieve_bench.records import Results
from tokensieve_bench.report.contenders import promise_table

SECONDS = {"words": 0.001, "dense": 0.1, "fast": 0.02}


def _sure_of(classes: torch.Tensor, wrong: int, margin: float = 3.0) -> torch.Tensor:
    """Logits of two classes that are right but for the first `wrong` documents."""
    said = classes.clone()
    said[:wrong] = 1 - said[:wrong]
    return margin * torch.nn.functional.one_hot(said, 2).float()


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """A set where the bag of words is right more often than the encoders, on both splits."""
    folder = tmp_path / "cascade" / "toy"
    folder.mkdir(parents=True)
    truth = {"validation": torch.arange(60) % 2, "test": torch.arange(80) % 2}
    for stage, wrong in {"words": 3, "dense": 12, "pruned": 15}.items():
        save_file(
            {split: _sure_of(own, wrong).half() for split, own in truth.items()},
            folder / f"seed0-{stage}.safetensors",
        )
    common = {"config": {"variants": {}}, "truth": {split: own.tolist() for split, own in truth.items()}}
    (folder / "common.json").write_text(json.dumps(common), encoding="utf-8")
    (folder / "seed0.json").write_text(json.dumps({"runs": [{"seed": 0}]}), encoding="utf-8")
    speed = {"documents": 10, "seconds": {own: [10 * each] * 3 for own, each in SECONDS.items()}}
    (tmp_path / "frontier" / "toy").mkdir(parents=True)
    (tmp_path / "frontier" / "toy" / "speed.json").write_text(json.dumps(speed), encoding="utf-8")
    return Results(tmp_path)


def test_the_fastest_point_that_meets_the_budget_is_judged_by_test_documents(results: Results) -> None:
    rows = list(promises.promises_of(results, "toy"))
    assert [row["budget"] for row in rows] == list(promises.BUDGETS)
    first = rows[0]
    assert first["words_first"]
    assert first["speed"] > 10  # the bag of words answers nearly all
    assert first["promised"] == pytest.approx(100 * 9 / 60)
    assert first["test"] == pytest.approx(100 * 9 / 80)
    assert first["test_against_words"] == 0


def test_another_config_has_its_own_logits_and_speeds(results: Results) -> None:
    assert list(promises.promises_of(results, "toy", "mpnet")) == []
    expected = list(promises.promises_of(results, "toy"))
    (results.folder / "cascade").rename(results.folder / "mpnet")
    (results.folder / "frontier").rename(results.folder / "frontier-mpnet")
    assert list(promises.promises_of(results, "toy", "mpnet")) == expected


def test_a_set_without_speeds_is_left_out(results: Results) -> None:
    (results.folder / "frontier" / "toy" / "speed.json").unlink()
    assert list(promises.promises_of(results, "toy")) == []


def test_the_table_counts_what_lies_inside(results: Results) -> None:
    rows = list(promises.promises_of(results, "toy"))
    outside = [{**row, "interval": [row["test"] + 1, row["test"] + 2]} for row in rows]
    (results.folder / "frontier" / "promises.json").write_text(
        json.dumps({"rows": [*rows, *({**row, "seed": 1} for row in outside)]}), encoding="utf-8"
    )
    line = next(line for line in promise_table(results).splitlines() if line.startswith("| all | 0 "))
    assert "1 of 2" in line
    assert "+11.25" in line
