"""The times of PruMerge: the record has the seconds of every round, and the medians that the page shows."""

from statistics import median
from typing import Any

import numpy as np
import prumerge
import pytest
import torch

from tokensieve_bench import rounds
from tokensieve_bench.vision import ImageSet


def test_seconds_of_every_round_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass of the tower is short here, so that its rounds repeat it; the first round warms up."""
    monkeypatch.setattr(rounds, "LEAST", 0.0)
    calls: list[str] = []
    monkeypatch.setattr(prumerge, "signals_of", lambda *_: {})
    monkeypatch.setattr(prumerge, "reduced", lambda row, *_: calls.append(row["name"]))
    rows = {"one": {"name": "one"}, "drawn": {"name": "drawn", "random": True}}
    config: dict[str, Any] = {"timed": {"images": 2, "rounds": 3}, "rows": rows}
    images = ImageSet(torch.zeros(4, 3, 2, 2), np.zeros(4), ("test",) * 4)
    found = prumerge.timed(config, lambda pixels: calls.append(f"tower, {len(pixels)}"), images)
    assert calls.count("tower, 2") == calls.count("one") == 3 + 1
    assert "drawn" not in calls
    assert found["timed_images"] == 2
    assert {name: len(own) for name, own in found["seconds"].items()} == {"tower": 3, "one": 3}
    assert found["milliseconds"] == {name: 500 * median(own) for name, own in found["seconds"].items()}
