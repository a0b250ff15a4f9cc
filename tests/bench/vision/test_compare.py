"""The times of the comparison on images: each job beside dense, which is no job of its own there."""

import json
from pathlib import Path
from typing import Any

import compare
import numpy as np
import pytest
import torch

from tokensieve import ReductionConfig
from tokensieve_bench.vision import DENSE, ImageSet


def test_dense_is_not_timed_beside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "RESULTS", tmp_path)
    monkeypatch.setattr(compare, "body_of", lambda _, settings: settings)
    timed: list[Any] = []
    monkeypatch.setattr(compare, "features", lambda settings, pixels, batch: timed.append((settings, len(pixels))))
    monkeypatch.setattr(compare, "machine", lambda _: {})
    monkeypatch.setattr("tokensieve_bench.rounds.LEAST", 0.0)
    jobs = [compare.Job("tiny", "dense", "1", DENSE), compare.Job("tiny", "fast", "0.5", ReductionConfig())]
    for job in jobs:
        job.record.parent.mkdir(parents=True, exist_ok=True)
        job.record.write_text("{}", encoding="utf-8")
    images = ImageSet(torch.zeros(9, 3, 2, 2), np.zeros(9), ("test",) * 9)
    compare.time_all(jobs, {"timed": {"images": 4, "batch": 2, "rounds": 5}}, tmp_path, images)
    assert json.loads(jobs[0].record.read_text(encoding="utf-8")) == {}
    record = json.loads(jobs[1].record.read_text(encoding="utf-8"))
    assert {name: len(own) for name, own in record["seconds"].items()} == {"dense": 5, "own": 5}
    assert record["timed_images"] == 4
    assert len(timed) == 2 * 6
    assert {size for _, size in timed} == {4}
