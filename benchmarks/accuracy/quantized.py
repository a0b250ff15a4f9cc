"""What int8 changes in the answers to test documents -> results/int8/accuracy.json.

    python benchmarks/accuracy/quantized.py benchmarks/configs/accuracy/cascade.json --data DATA --threads 2

Every run of train.py that is there is quantized as `tokensieve quantize` does it: by validation documents and 1,000
training documents that the run did not have, all without labels. The gate is told and not applied, so that a run that
would be refused counts too. Then both classifiers answer the test documents.
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tokensieve import load
from tokensieve.quantize.gate import Gate
from tokensieve.quantize.quantize import quantize
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS
from tokensieve_bench.runs import config_parser, configs_of, run_folder, splits_of
from tokensieve_bench.table import render

UNLABELLED = 1000
TARGET = RESULTS / "int8" / "accuracy.json"
_Z = 1.959964


def main() -> None:
    """All runs that are there, beside those that the record has of other sets and seeds."""
    arguments = config_parser().parse_args()
    torch.set_num_threads(arguments.threads)
    record = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.is_file() else {"runs": []}
    for name, config in configs_of(arguments).items():
        for variant in config["headline"]:
            for seed in config["seeds"]:
                run = run_folder(name, variant, seed)
                if (run / "run.json").is_file():
                    mark = {"data": config["data"], "variant": variant, "seed": seed}
                    others = [own for own in record["runs"] if mark != {key: own[key] for key in mark}]
                    record["runs"] = [*others, mark | measured(config, run, arguments)]
                    TARGET.parent.mkdir(parents=True, exist_ok=True)
                    TARGET.write_text(json.dumps(record) + "\n", encoding="utf-8")
    print("\n".join(table(record)))


def measured(config: dict[str, Any], run: Path, arguments: Any) -> dict[str, Any]:
    """What the gate says, and the answers of both to the test documents."""
    splits = splits_of(config, arguments.data, UNLABELLED)
    documents = [replace(each, label=None) for each in (*splits.validation, *splits.unlabelled)]
    folder = run.with_name(f"{run.name}-int8")
    shutil.rmtree(folder, ignore_errors=True)
    report = quantize(run, folder, documents, gate=Gate(1.0, 1.0))
    before = json.loads((run / "run.json").read_text(encoding="utf-8"))
    results = load(folder, device="cpu").engine.classify(splits.test)
    return {
        "gate": {key: report[key] for key in ("documents", "labels_changed", "mean_change", "attention")},
        "bytes": report["bytes"],
        "bytes_float32": report["bytes_float32"],
        "truth": before["truth"],
        "float32": before["predicted"],
        "int8": [result.label for result in results],
        "machine": machine(arguments.threads),
    }


def table(record: dict[str, Any]) -> list[str]:
    """A row a run, and one for the mean over the sets of each variant."""
    rows = [["", "seed", "documents", "float32", "int8", "difference, points", "labels changed"]]
    for variant in dict.fromkeys(own["variant"] for own in record["runs"]):
        runs = [own for own in record["runs"] if own["variant"] == variant]
        found = [figures(own) for own in runs]
        for own, each in zip(runs, found, strict=True):
            rows.append([f"{variant}, {own['data']}", str(own["seed"]), *told(each)])
        count, mean = len(found), {key: float(np.mean([own[key] for own in found])) for key in found[0]}
        mean |= {"documents": sum(own["documents"] for own in found)}
        mean["variance"] = sum(own["variance"] for own in found) / count**2
        rows.append([f"{variant}, mean of {count}", "", *told(mean)])
    return render(rows, "plain")


def figures(own: dict[str, Any]) -> dict[str, float]:
    """Accuracy of both, and the variance of the mean difference of the same documents."""
    truth, before, after = (np.array(own[key]) for key in ("truth", "float32", "int8"))
    gaps = (after == truth).astype(float) - (before == truth)
    return {
        "documents": len(truth),
        "float32": float((before == truth).mean()),
        "int8": float((after == truth).mean()),
        "variance": float(gaps.var(ddof=1)) / len(gaps),
        "changed": float((before != after).mean()),
    }


def told(own: dict[str, float]) -> list[str]:
    """The cells of a row."""
    gap, half = 100 * (own["int8"] - own["float32"]), 100 * _Z * math.sqrt(own["variance"])
    interval = f"{gap:+.2f} [{gap - half:+.2f}, {gap + half:+.2f}]"
    scores = [f"{own[key]:.4f}" for key in ("float32", "int8")]
    return [f"{own['documents']:.0f}", *scores, interval, f"{own['changed']:.2%}"]


if __name__ == "__main__":
    main()
