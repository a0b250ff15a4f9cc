"""Train every variant of a config with every seed, score it on the test documents -> results/accuracy/<config>/.

    python benchmarks/accuracy/train.py benchmarks/configs/accuracy/bbc-256.json --data DATA --threads 2

Every run is a process of its own and leaves its classifier and a record in build/accuracy/<config>/. Runs that have a
record are not repeated, and one that was cut off goes on: the command can be stopped and given again, and the seeds can
be run on several machines, one after the other. The test documents are looked at once, by the weights that the
validation documents chose; "validation_right" says which of the validation documents these weights classify rightly,
for a choice among variants. With "logits" in the config a run also leaves the logits of both splits in its folder.

A config has one data set as "data", or several as "sets", each with a result of its own: --set and --seed pick some, so
that several commands can share the work. A variant may name as "model" a folder of this checkout, or as "start" a
variant that comes before it, in place of the default model, and the "layers" of any that it has alone; changes to the
recipe; as "teacher" a variant that comes before it; "unlabelled", how many more documents it reads without their
labels; and "seeds" of its own. --variant picks some, of which what they start from has to be there already.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tokensieve import ReductionConfig, load
from tokensieve.cascade.configuration import CascadeConfig
from tokensieve.data import DataSplits
from tokensieve.metrics import accuracy_and_f1
from tokensieve.runtime.evaluate import mean_kept
from tokensieve.runtime.results import Result
from tokensieve.training.files.output import read_record as read_training_record
from tokensieve.training.train import train
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS
from tokensieve_bench.record_files import in_order, is_record, read_record, write_record
from tokensieve_bench.runs import (
    LOGITS,
    base_of,
    chosen,
    config_parser,
    configs_of,
    recipe_of,
    run_folder,
    settings_of,
    splits_of,
)


def main() -> None:
    """All runs of a config, or with --run the one that is named."""
    parser = config_parser()
    parser.add_argument("--seed", type=int, action="append", help="this one of the config's (repeatable)")
    parser.add_argument("--variant", action="append", help="this one of the config's (repeatable)")
    parser.add_argument("--run", nargs=3, metavar=("SET", "VARIANT", "SEED"))
    arguments = parser.parse_args()
    data, variant, seed = arguments.run or (None, None, 0)
    for name, config in configs_of(arguments).items():
        seeds = chosen("--seed", arguments.seed, config["seeds"])
        variants = chosen("--variant", arguments.variant, config["variants"])
        if variant is None:
            all_runs(config, name, seeds, variants)
        elif config["data"] == data:
            one_run(config, name, variant, int(seed), arguments.data, arguments.threads)


def all_runs(config: dict[str, Any], name: str, seeds: list[int], variants: list[str]) -> None:
    """Those that have no record yet, each in a process of its own."""
    for seed in seeds:
        for variant, given in config["variants"].items():
            if variant not in variants or seed not in given.get("seeds", config["seeds"]):
                continue
            if not (run_folder(name, variant, seed) / "run.json").is_file():
                own = ["--run", config["data"], variant, str(seed)]
                subprocess.run([sys.executable, __file__, *sys.argv[1:], *own], check=True)
            collect(config, name)


def one_run(config: dict[str, Any], name: str, variant: str, seed: int, data: Path, threads: int) -> None:
    """Train and score one classifier."""
    torch.set_num_threads(threads)
    folder = run_folder(name, variant, seed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    given = config["variants"][variant]
    splits = splits_of(config, data, given.get("unlabelled"))
    if not (folder / "training.json").is_file():  # the last file of a finished training
        train(
            base_of(given, name, seed),
            settings_of(given),
            splits,
            folder,
            recipe_of(config, name, variant, seed),
            device=torch.device("cpu"),
            resume=True,
            checkpoint_steps=25,
            data_name=config["data"],
        )
    training = read_training_record(folder / "training.json")
    engine, names = load(folder, device="cpu").engine, splits.label_names
    results, held_out = engine.classify(splits.test), engine.classify(splits.validation)
    truth = [names.index(str(document.label)) for document in splits.test]
    predicted = [result.label for result in results]
    record = {
        "variant": variant,
        "seed": seed,
        **accuracy_and_f1(truth, predicted),
        "validation": training["best"],
        "validation_right": [
            int(names[result.label] == str(document.label))
            for result, document in zip(held_out, splits.validation, strict=True)
        ],
        "validation_confidence": [round(max(result.probabilities), 4) for result in held_out],
        "settings": training["settings"],
        "bf16": training["recipe"]["bf16"],
        "deferred": training["cascade"] and training["cascade"]["share"],
        "training_seconds": training["seconds"],
        "training_peak_memory_bytes": training["peak_memory_bytes"],
        "documents": {**training["documents"], "test": len(truth)},
        "mean_length": sum(result.length for result in results) / len(results),
        "kept_tokens": mean_kept(results),
        "truth": truth,
        "predicted": predicted,
        "confidence": [round(max(result.probabilities), 4) for result in results],
        "machine": machine(threads),
    }
    if config.get("logits"):
        save_logits(folder / LOGITS, engine, splits, {"test": results, "validation": held_out})
    (folder / "run.json").write_text(json.dumps(record) + "\n", encoding="utf-8")


def save_logits(path: Path, engine: Any, splits: DataSplits, results: dict[str, list[Result]]) -> None:
    """Write the logits [N, C] float32 of both splits by the whole classifier, and by a cascade's first stage alone."""
    tensors = {split: logits_of(own) for split, own in results.items()}
    if isinstance(engine.model.config, CascadeConfig):
        below, engine.model.config.defer_below = engine.model.config.defer_below, None
        for split in results:
            tensors[f"{split}.first"] = logits_of(engine.classify(getattr(splits, split)))
        engine.model.config.defer_below = below
    save_file(tensors, path)


def logits_of(results: list[Result]) -> torch.Tensor:
    """The logits [N, C] of some results."""
    return torch.tensor([result.logits for result in results])


def collect(config: dict[str, Any], name: str) -> None:
    """Gather the records of the runs that are done; those of seeds that were not run here stay as they are."""
    runs, truth = [], None
    for variant in config["variants"]:
        for seed in config["seeds"]:
            record = run_folder(name, variant, seed) / "run.json"
            if record.is_file():
                run = json.loads(record.read_text(encoding="utf-8"))
                truth = run.pop("truth")
                runs.append(run)
    place = RESULTS / "accuracy" / name
    runs += made_elsewhere(place, config, truth, {run["seed"] for run in runs})
    write_record(place, {"config": config, "truth": truth, "runs": in_order(runs, config["variants"])})


def made_elsewhere(
    place: Path, config: dict[str, Any], truth: list[int] | None, here: set[int]
) -> Iterator[dict[str, Any]]:
    """Runs that the results have of other seeds, as they would be made now. All of one seed are made together, as
    variants start from one another: one that is made again takes the place of all.
    """
    if not is_record(place):
        return
    record = read_record(place)
    common = ("data", "documents", "recipe")
    if record["truth"] != truth or any(record["config"].get(key) != config.get(key) for key in common):
        return
    for run in record["runs"]:
        chain = list(with_origins(config["variants"], run["variant"]))
        settings = settings_of(chain[0]) if chain else None
        same = chain == list(with_origins(record["config"]["variants"], run["variant"]))
        if "settings" in run:  # the first runs of dense do not say
            same = same and ReductionConfig.from_dict(run["settings"]) == settings
        if same and run["seed"] in config["seeds"] and run["seed"] not in here:
            yield run


def with_origins(variants: dict[str, Any], name: str | None) -> Iterator[dict[str, Any]]:
    """What a variant is, and what it starts from and learns from; nothing where there is none of this name."""
    if name in variants:
        yield variants[name]
        for origin in ("start", "teacher"):
            yield from with_origins(variants, variants[name].get(origin))


if __name__ == "__main__":
    main()
