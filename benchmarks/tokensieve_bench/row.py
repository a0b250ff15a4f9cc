"""One job of the comparison of methods: from the dense classifier to its record."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from tokensieve import load
from tokensieve.cascade.plan import plan_of
from tokensieve.data import DataSplits
from tokensieve.errors import ConfigError
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.flops import dense_flops
from tokensieve.runtime.results import Result
from tokensieve.training.recipe import Recipe
from tokensieve.training.train import train
from tokensieve_bench.leaderboard import Job
from tokensieve_bench.machine import machine
from tokensieve_bench.record_files import write_whole
from tokensieve_bench.runs import few_layers, for_this_machine


def measure(job: Job, config: dict[str, Any], dense: Path, splits: DataSplits, folder: Path, threads: int) -> None:
    """Fit the row, score it; train it, score it; write the record. The trained classifier stays in `folder`."""
    base = dense if job.layers is None else few_layers(dense, list(job.layers), f"methods/{job.data}")
    wanted = for_this_machine(config["recipe"])
    record: dict[str, Any] = {
        "row": job.row,
        "share": job.share,
        "data": job.data,
        "dense_digest": job.start,
        "settings": job.settings.to_dict(),
        "layers": job.layers,
        "recipe": wanted | job.recipe,
        "documents": {"train": len(splits.train), "validation": len(splits.validation), "test": len(splits.test)},
    }
    for stage, recipe in {"fitted": wanted | {"epochs": 0}, "trained": wanted | job.recipe}.items():
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Recipe.from_record(recipe)
        try:
            done = train(str(base), job.settings, splits, folder, made, data_name=job.data, progress=False)
        except ConfigError as error:  # it has parts that start at random
            if stage == "trained":
                raise
            record["why_not_fitted"] = str(error).split(" and needs ")[0]
            continue
        record[stage] = scored(folder, splits, dense) | {"seconds": round(done["seconds"], 1)}
    record["machine"] = machine(threads)
    _write(job, record)


def scored(folder: Path, splits: DataSplits, dense: Path) -> dict[str, Any]:
    """Which test documents a classifier gets right, a digit each, and what it costs.

    "flops" is a share of the dense encoder's, by the tokens that each document kept.
    """
    engine = load(folder, device="cpu").engine
    results = engine.classify(splits.test)
    names = splits.label_names
    right = [names[result.label] == str(document.label) for result, document in zip(results, splits.test, strict=True)]
    config = engine.model.config
    whole = load(dense, device="cpu").engine.model.config
    return {
        "accuracy": fmean(right),
        "right": "".join(str(int(own)) for own in right),
        "flops": flops_of(results, config, whole),
        "kept": [round(fmean(step), 2) for step in zip(*(result.kept for result in results), strict=True)],
    }


def flops_of(results: list[Result], config: TokensieveConfig, dense: TokensieveConfig) -> float:
    """Mean FLOPs of the documents, as a share of the dense encoder's."""
    own = 0.0
    for result in results:
        plan = plan_of(config, result.length)
        if plan.basis != "exact":
            plan = plan_of(config, result.length, shares=[kept / result.length for kept in result.kept])
        own += plan.flops
    return own / sum(dense_flops(dense, result.length) for result in results)


def finish(job: Job, record: dict[str, Any], rounds: dict[str, list[float]], documents: int) -> None:
    """Add the seconds to a record."""
    timed = {"seconds": rounds, "timed_documents": documents, "timed_on": machine(torch.get_num_threads())}
    _write(job, record | timed)


def _write(job: Job, record: dict[str, Any]) -> None:
    job.record.parent.mkdir(parents=True, exist_ok=True)
    write_whole(job.record, json.dumps(record, indent=1) + "\n")
