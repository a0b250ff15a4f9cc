"""The record of a series names the machine of each of its runs, not that of the last alone."""

from types import SimpleNamespace
from typing import Any

import forecast
import pytest


def test_every_run_names_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    bench: Any = object.__new__(forecast.Bench)
    bench.name, bench.own, bench.test, bench.record = "some", {"season": 1}, ([], []), {"runs": []}
    bench.series = SimpleNamespace(windows=lambda _: ([],))
    bench.save = lambda: None
    bench.runs_of = lambda head, seed: [{"head": head, "seed": seed}]
    monkeypatch.setattr(forecast, "naive_errors", lambda *_: {})
    for seed, name in ((0, "first"), (1, "second"), (0, "third")):
        monkeypatch.setattr(forecast, "machine", lambda _, name=name: {"processor": name})
        bench.run(seed, 1)
    names = {run: own["processor"] for run, own in bench.record["machines"].items()}
    assert names == {f"{head}, seed {seed}": ("first", "second")[seed] for seed in (0, 1) for head in forecast.HEADS}
    assert bench.record["machine"]["processor"] == "second"
