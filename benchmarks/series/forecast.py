"""Forecast error and speed of merged time series -> results/series/<series>.json, a file a series.

    python benchmarks/series/forecast.py benchmarks/configs/series/forecast.json --threads 1
    python benchmarks/series/forecast.py benchmarks/configs/series/forecast.json --threads 2 --time

It needs statsmodels, which ships the series (`pip install statsmodels`). For each series, seed and head a dense
forecaster is trained, and every reduction of the config is applied to it as it is; those under "trained" are trained
with the reduction as well. Weights are chosen by validation windows; the last fifth of a series is scored once. Runs
that a record has are not repeated. --time adds the seconds of one seed beside dense, in interleaved rounds, and of
longer inputs with random weights; run it on an idle machine. `python -m tokensieve_bench.report` makes the tables.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from tokensieve import ReductionConfig
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS
from tokensieve_bench.record_files import write_whole
from tokensieve_bench.rounds import time_interleaved
from tokensieve_bench.runs import chosen
from tokensieve_bench.series.data import Series, read_series
from tokensieve_bench.series.fit import errors, fit, naive_errors
from tokensieve_bench.series.forecaster import Forecaster, reduction_of

FOLDER = RESULTS / "series"
HEADS = {"unmerged": True, "last row": False}
DENSE = "dense"
Record = dict[str, Any]


def main() -> None:
    """All series that the config names, or those that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--series", action="append", help="this one alone (repeatable)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--time", action="store_true", help="add the seconds; needs the records")
    parser.add_argument("--results", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = json.loads(arguments.config.read_text(encoding="utf-8"))
    names = chosen("--series", arguments.series, config["series"])
    benches = [Bench(name, config, arguments.results / f"{name}.json") for name in names]
    if arguments.time:
        for bench in benches:
            bench.time(arguments.threads)
        time_long(config, arguments.results / "long.json", arguments.threads)
        return
    for seed in config["seeds"]:
        for bench in benches:
            bench.run(seed, arguments.threads)


class Bench:
    """A series, and its record."""

    def __init__(self, name: str, config: Record, file: Path) -> None:
        self.name, self.config, self.file = name, config, file
        self.own = config["series"][name]
        self.series: Series = read_series(name, self.own)
        self.test = self.series.windows("test")
        shared = {key: config[key] for key in ("shape", "recipe", "seeds", "reductions", "trained")}
        told = {"series": self.own, **shared}
        self.record: Record = {"name": name, "config": told, "runs": []}
        if file.is_file():
            found = json.loads(file.read_text(encoding="utf-8"))
            if found["config"] != told:
                raise SystemExit(f"{file}: made with another config: move it away, or use the config that it names")
            self.record = found

    def run(self, seed: int, threads: int) -> None:
        """Train and score what the record lacks of a seed."""
        past, future = self.test
        parts = {part: len(self.series.windows(part)[0]) for part in ("training", "validation", "test")}
        self.record |= {"windows": parts, "naive": naive_errors(past, future, self.own["season"])}
        done = {(run["head"], run["seed"]) for run in self.record["runs"]}
        for head in HEADS:
            if (head, seed) not in done:
                self.record["runs"] += self.runs_of(head, seed)
                self.record["machine"] = machine(threads)
                self.record.setdefault("machines", {})[f"{head}, seed {seed}"] = self.record["machine"]
                self.save()
                print(self.name, head, seed, flush=True)

    def runs_of(self, head: str, seed: int) -> list[Record]:
        """Dense, the reductions applied to it, and those that are trained."""
        runs, dense = [], self.trained(DENSE, head, seed)
        names = [DENSE, *self.config["reductions"]]
        for name in names:
            model = self.model(name, head)
            model.load_state_dict(dense[0].state_dict())
            runs.append(self.scored(model, name, head, seed, trained=name == DENSE, step=dense[1]))
        for name in self.config["trained"]:
            model, step = self.trained(name, head, seed)
            runs.append(self.scored(model, name, head, seed, trained=True, step=step))
        return runs

    def trained(self, name: str, head: str, seed: int) -> tuple[Forecaster, int]:
        """A model trained with a reduction, and the step of its weights."""
        torch.manual_seed(seed)
        model = self.model(name, head)
        return model, fit(model, self.series, self.config["recipe"], seed)

    def scored(self, model: Forecaster, name: str, head: str, seed: int, *, trained: bool, step: int) -> Record:
        """The errors on the test windows, and the FLOPs."""
        found = errors(model, *self.test)
        about: Record = {"reduction": name, "head": head, "seed": seed, "trained": trained, "step": step}
        return {**about, **found, "flops": model.flops(self.test[0])}

    def model(self, name: str, head: str) -> Forecaster:
        """A model of the config's shape."""
        sizes = {key: self.own[key] for key in ("context", "patch", "horizon")}
        reduction = ReductionConfig(prune=None) if name == DENSE else reduction_of(self.config["reductions"][name])
        return Forecaster(reduction, self.config["shape"], **sizes, unmerges=HEADS[head])

    def time(self, threads: int) -> None:
        """Seconds of forecasts for test windows, with the head that reads all patches, at weights of no training."""
        timed = self.config["timed"]
        torch.manual_seed(0)
        base = self.model(DENSE, "unmerged").eval()
        past, works = self.test[0][: timed["windows"]], {}
        for name in (DENSE, *self.config["reductions"]):
            model = self.model(name, "unmerged").eval()
            model.load_state_dict(base.state_dict())
            works[name] = forecasting(model, past)
        rounds = time_interleaved(works, timed["rounds"])
        about = {"windows": len(past), "tokens": base.tokens, "machine": machine(threads)}
        self.record["timing"] = {**about, "seconds": rounds}
        self.save()
        print(self.name, "timed", flush=True)

    def save(self) -> None:
        """Write the record as a whole."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.file, json.dumps(self.record, indent=1) + "\n")


def time_long(config: Record, file: Path, threads: int) -> None:
    """Seconds at more tokens than a series here has: random walks, and random weights of a larger shape."""
    long, cells = config["timed"]["long"], []
    for tokens in long["tokens"]:
        torch.manual_seed(0)
        past = torch.randn(long["windows"], tokens).cumsum(1)
        models = {name: _long_model(name, config, tokens) for name in (DENSE, *config["reductions"])}
        works = {}
        for name, model in models.items():
            model.load_state_dict(models[DENSE].state_dict())
            works[name] = forecasting(model, past)
        rounds = time_interleaved(works, config["timed"]["rounds"])
        flops = {name: model.flops(past) for name, model in models.items()}
        cells.append({"tokens": tokens, "windows": len(past), "seconds": rounds, "flops": flops})
        print(tokens, "tokens timed", flush=True)
    told = {"timed": config["timed"], "reductions": config["reductions"]}
    write_whole(file, json.dumps({"config": told, "cells": cells, "machine": machine(threads)}, indent=1) + "\n")


def _long_model(name: str, config: Mapping[str, Any], tokens: int) -> Forecaster:
    reduction = ReductionConfig(prune=None) if name == DENSE else reduction_of(config["reductions"][name])
    shape = config["timed"]["long"]["shape"]
    return Forecaster(reduction, shape, context=tokens, patch=1, horizon=1, unmerges=True).eval()


def forecasting(model: Forecaster, past: torch.Tensor) -> Callable[[], object]:
    """A call that makes the forecasts of these contexts."""

    @torch.inference_mode()
    def forecast() -> object:
        return model(past)

    return forecast


if __name__ == "__main__":
    main()
