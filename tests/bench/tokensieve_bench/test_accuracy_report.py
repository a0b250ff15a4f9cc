"""Tables of trainings: the same seeds are compared, rounds are paired, and conditions are those of the records."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tokensieve.training.recipe import Recipe
from tokensieve_bench.records import Results
from tokensieve_bench.report import frontier
from tokensieve_bench.report.accuracy import DEFAULTS, accuracy_table, loss_verdict
from tokensieve_bench.report.frontier import frontier_table

TRUTH = [0, 1, 1, 0]
RIGHT, WRONG = TRUTH, [0, 1, 1, 1]
MACHINE = {"commit": "ab" * 20, "processor": "a chip", "torch": "2.1", "transformers": "5.0", "python": "3.11"}
FASTER = {"cores": 2, "threads": 4}


def run(variant: str, seed: int, predicted: list[int], **machine: Any) -> dict[str, Any]:
    score = float(np.mean(np.array(predicted) == TRUTH))
    return {
        "variant": variant,
        "seed": seed,
        "accuracy": score,
        "f1_macro": score,
        "validation": {"eval_accuracy": score},
        "documents": {"train": 8, "validation": 4, "test": 4},
        "predicted": predicted,
        "bf16": True,
        "deferred": 0.0,
        "machine": MACHINE | machine,
    }


def write(folder: Path, name: str, record: dict[str, Any]) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")


def record(*runs: dict[str, Any], **recipe: Any) -> dict[str, Any]:
    config = {"data": "toy", "variants": {"dense": {}, "fast": {}}, "recipe": recipe}
    return {"config": config, "truth": TRUTH, "runs": list(runs)}


def test_runs_are_paired_by_seed(tmp_path: Path) -> None:
    """Seed 1 is what both have; by position seed 1 of `fast` would meet seed 0 of dense."""
    runs = [run("dense", 0, RIGHT), run("dense", 1, WRONG), run("fast", 1, RIGHT), run("fast", 2, WRONG)]
    write(tmp_path, "accuracy/toy", record(*runs))
    table = accuracy_table(Results(tmp_path), "toy")
    assert "| fast | 2 | 0.8750 (0.750-1.000) | 0.8750 (0.750-1.000) | 0.8750 | +25.00 [" in table
    write(tmp_path, "accuracy/toy", record(run("dense", 0, RIGHT), run("fast", 1, RIGHT)))
    assert "| no seed in common |" in accuracy_table(Results(tmp_path), "toy")


def test_conditions_are_those_of_all_runs(tmp_path: Path) -> None:
    runs = [run("dense", 0, RIGHT), run("fast", 1, RIGHT, commit="cd" * 20 + "+"), run("fast", 2, RIGHT, commit=None)]
    write(tmp_path, "accuracy/toy", record(*runs, epochs=2))
    told = accuracy_table(Results(tmp_path), "toy")
    assert "- commits ababababab, cdcdcdcdcd+, unknown; a chip; torch 2.1;" in told
    assert "seeds by commit: ababababab: 0; cdcdcdcdcd+: 1; unknown: 2" in told
    assert "epochs 2, learning_rate 2e-05, max_length 512, batches of 16; the epoch by validation loss." in told
    write(tmp_path, "accuracy/toy", record(*runs, select="accuracy", batch_size=4))
    assert "batches of 4; the epoch by validation accuracy." in accuracy_table(Results(tmp_path), "toy")


def test_what_a_recipe_leaves_out_is_the_packages_default() -> None:
    """Records name what differs from it. Who changes a default has to say here what old records had."""
    assert {name: getattr(Recipe(), name) for name in DEFAULTS} == DEFAULTS


def test_costs_are_ratios_of_the_same_round(tmp_path: Path) -> None:
    """2, 4 and 4; of the medians it would be 2."""
    seconds = {"dense": [4.0, 8.0, 4.0], "fast": [2.0, 2.0, 1.0]}
    peak = {"inference": 1e6, "training": 1e6}
    cost = {
        "rounds": 3,
        "documents": 9,
        "inference_seconds": seconds,
        "training_step_seconds": seconds,
        "peak_bytes": {"dense": peak, "fast": peak},
        "training": {"batch": 16, "optimizer": "AdamW", "attention_dropout": 0.1},
        "machine": MACHINE | {"threads": 1},
    }
    write(tmp_path, "accuracy/toy", record(run("dense", 0, RIGHT), run("fast", 0, RIGHT)))
    write(tmp_path, "accuracy/toy-cost", cost)
    told = accuracy_table(Results(tmp_path), "toy")
    assert "| 4.00x (1.00-2.00 s) | 4.00x (1.00-2.00 s) |" in told
    assert "- Cost: 1 thread, float32, 3 interleaved rounds" in told
    assert "with AdamW, attention dropout 0.1; commit ababababab; a chip." in told


@pytest.mark.parametrize(
    ("lost", "kept", "verdict"),
    [(0, 9, "met"), (1, 999, "met by the mean; the interval reaches -0.30"), (9, 991, "missed")],
)
def test_a_bar_of_points_reads_the_lower_end(lost: int, kept: int, verdict: str) -> None:
    assert loss_verdict(np.array([-100.0] * lost + [0.0] * kept), 0.2) == verdict


def bench(documents: int, seconds: dict[str, list[float]], **machine: Any) -> dict[str, Any]:
    cell = {"batch": 2, "length": None, "documents": documents, "mean_length": 9.0, "seconds": seconds}
    return {
        "config": {"backbone": "default", "data": {"max_length": 16}},
        "rounds": 2,
        "baseline": "sdpa",
        "contenders": {name: {} for name in seconds},
        "cells": [cell],
        "machine": MACHINE | FASTER | machine,
    }


def test_speeds_are_told_with_the_conditions_of_all_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {
        "sets": {"a": {}, "b": {}},
        "variants": {"dense": {}, "fast": {}},
        "baselines": ["dense"],
        "recipe": {"epochs": 1},
    }
    monkeypatch.setattr(frontier, "config_of", lambda _: config)
    for data in ("a", "b"):
        write(tmp_path, f"accuracy/toy-{data}", record(run("dense", 0, RIGHT), run("fast", 0, RIGHT, commit=None)))
    seconds = {"sdpa": [4.0, 4.0], "dense": [4.0, 4.0], "fast": [2.0, 1.0]}
    write(tmp_path, "bench/toy-a", bench(4, seconds))
    write(tmp_path, "bench/toy-b", bench(8, seconds | {"fast": [2.0, 2.0]}, commit="cd" * 20 + "+"))
    told = frontier_table(Results(tmp_path), "toy")
    assert "- commits ababababab, unknown; a chip; torch 2.1; transformers 5.0" in told
    assert "a 4 of 9 tokens, b 8 of 9 tokens, 16 at most" in told
    assert "- 4 threads for all, 2 cores; commits ababababab, cdcdcdcdcd+; a chip;" in told
    assert "largest of the sets: `dense` 0 %, `fast` 67 %" in told
