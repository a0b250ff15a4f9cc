"""Forecasts: windows do not look ahead, parameters do not depend on the reduction, and tables follow from records."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from support.paths import ROOT
from tokensieve import ReductionConfig
from tokensieve_bench.records import Results
from tokensieve_bench.report.series import series_tables
from tokensieve_bench.series import data
from tokensieve_bench.series.data import Series
from tokensieve_bench.series.fit import errors, fit, naive_errors
from tokensieve_bench.series.forecaster import Forecaster, reduction_of

CONFIG = json.loads((ROOT / "benchmarks/configs/series/forecast.json").read_text(encoding="utf-8"))
SHAPE = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "dropout": 0.0
}  # fmt: skip
SIZES: dict[str, Any] = {"context": 24, "patch": 2, "horizon": 6}
WAVE = Series(torch.sin(torch.arange(200) * 0.5), SIZES["context"], SIZES["horizon"])


def forecaster(name: str | None = None, unmerges: bool = True) -> Forecaster:
    torch.manual_seed(0)
    reduction = ReductionConfig(prune=None) if name is None else reduction_of(CONFIG["reductions"][name])
    return Forecaster(reduction, SHAPE, **SIZES, unmerges=unmerges).eval()


def test_windows_tell_only_their_own_part() -> None:
    """200 values: what is told lies in 0..139, 140..159 and 160..199, and what is read right before it."""
    series = Series(torch.arange(200.0), 24, 6)
    for part, (first, last) in {"training": (24, 139), "validation": (140, 159), "test": (160, 199)}.items():
        past, future = series.windows(part)
        assert (float(future.min()), float(future.max())) == (first, last)
        assert torch.equal(past[:, -1] + 1, future[:, 0])
        assert past.shape[1:] == (24,) and future.shape[1:] == (6,)


def test_a_stride_takes_every_so_many_windows() -> None:
    whole, some = Series(torch.arange(200.0), 24, 6), Series(torch.arange(200.0), 24, 6, stride=5)
    assert torch.equal(some.windows("test")[0], whole.windows("test")[0][::5])
    assert torch.equal(some.windows("training")[0], whole.windows("training")[0])


def test_without_statsmodels_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", lacking)
    with pytest.raises(SystemExit, match=r"statsmodels.*pip install statsmodels"):
        data.read_series("co2", {"context": 8, "horizon": 2, "stride": 1})


def test_naive_errors_by_hand() -> None:
    past, future = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[2.0, 5.0, 2.0]])
    found = naive_errors(past, future, season=2)
    assert found["last value"] == {"mse": 2.0, "mae": pytest.approx(4 / 3)}
    assert found["season"]["mse"] == pytest.approx((0 + 4 + 0) / 3)


@pytest.mark.parametrize("unmerges", [True, False])
@pytest.mark.parametrize("name", CONFIG["reductions"])
def test_a_dense_forecaster_takes_any_reduction(name: str, unmerges: bool) -> None:
    dense, own = forecaster(None, unmerges), forecaster(name, unmerges)
    own.load_state_dict(dense.state_dict())
    past, _ = WAVE.windows("test")
    told = own(past)
    assert told.shape == (len(past), 6)
    torch.testing.assert_close(told[:1], own(past[:1]), atol=1e-5, rtol=0)
    assert (told - dense(past)).abs().max() > 1e-6
    assert own.flops(past) < dense.flops(past) == 1


def test_training_helps_and_keeps_the_best_step() -> None:
    model, windows = forecaster("local-merge .5"), WAVE.windows("test")
    before = errors(model, *windows)["mse"]
    recipe = {"steps": 60, "batch": 16, "learning_rate": 0.01, "weight_decay": 0.0, "evaluate_every": 20}
    step = fit(model, WAVE, recipe, seed=0)
    assert step in (20, 40, 60)
    assert errors(model, *windows)["mse"] < 0.5 * before


def record() -> dict[str, Any]:
    about = {"head": "unmerged", "seed": 0, "mae": 1.0}
    runs = [
        {**about, "reduction": "dense", "trained": True, "mse": 0.5, "flops": 1.0},
        {**about, "reduction": "dense", "trained": True, "mse": 0.4, "flops": 1.0, "seed": 1},
        {**about, "reduction": "local", "trained": False, "mse": 0.6, "flops": 0.6},
        {**about, "reduction": "local", "trained": False, "mse": 0.4, "flops": 0.6, "seed": 1},
    ]
    runs += [{**run, "head": "last row"} for run in runs]
    config = {"series": SIZES, "shape": SHAPE, "recipe": CONFIG["recipe"]}
    machine = {"commit": "0123456789abcdef", "processor": "a processor", "threads": 1}
    naive = {"last value": {"mse": 0.9}}
    seconds = {"dense": [2.0, 4.0], "local": [1.0, 1.0]}
    timing = {"tokens": 12, "windows": 2, "seconds": seconds, "machine": machine | {"commit": "c" * 40 + "+"}}
    windows = {"test": 7}
    return {"config": config, "runs": runs, "machine": machine, "naive": naive, "windows": windows, "timing": timing}


def test_tables(tmp_path: Path) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    assert series_tables(Results(tmp_path)) == ""
    (folder / "wave.json").write_text(json.dumps(record()), encoding="utf-8")
    text = series_tables(Results(tmp_path))
    assert "| local | no | 0.60 | 1.10 [1.00, 1.20] |" in text
    assert "| dense: its error | yes | 1 | 0.450 |" in text
    assert "| no model: the last value again |  | 0 | 2.00 |" in text
    assert "- commit 0123456789; a processor\n" in text
    assert "| local | 3.00 [2.00, 4.00] |" in text, "there are times of a series before those of random walks"
    assert "- 1 thread; 2 interleaved rounds; commit cccccccccc+; a processor" in text
    cell = {"tokens": 64, "windows": 2, "seconds": record()["timing"]["seconds"], "flops": {"dense": 1.0, "local": 0.6}}
    cell["seconds"] = {**cell["seconds"], "tome": [2.0, 2.0]}
    long = {"cells": [cell], "machine": record()["machine"]}
    (folder / "long.json").write_text(json.dumps(long), encoding="utf-8")
    text = series_tables(Results(tmp_path))
    assert "| local | 3.00 [2.00, 4.00] | 3.00 [2.00, 4.00] |" in text
    assert "| tome | - | 1.50 [1.00, 2.00] |" in text, "nobody timed it on the series"
    assert "2 interleaved rounds; commits 0123456789, cccccccccc+; a processor" in text
    assert "fewest FLOPs at 64 tokens: local, 0.60 of dense" in text


def test_without_times_there_is_no_speed(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    untimed = record() | {"machine": {"commit": None, "processor": "another", "threads": 1}}
    del untimed["timing"]
    for name in ("tide", "wave"):
        (tmp_path / "series" / f"{name}.json").write_text(json.dumps(untimed), encoding="utf-8")
        untimed["machine"] = record()["machine"]
    text = series_tables(Results(tmp_path))
    assert "## Speed" not in text
    assert "- commits 0123456789, unknown; a processor, another" in text
    untimed["machines"] = {"unmerged, seed 0": {"commit": "d" * 40 + "+", "processor": "a third"}}
    (tmp_path / "series" / "wave.json").write_text(json.dumps(untimed), encoding="utf-8")
    assert "- commits 0123456789, dddddddddd+, unknown; a processor, a third, another" in series_tables(
        Results(tmp_path)
    )
