"""Time and memory of every variant of a config, on its own documents -> results/accuracy/<config>-cost.json.

    python benchmarks/accuracy/cost.py benchmarks/configs/accuracy/bbc-256.json --data DATA --threads 2

Run on an idle machine, after train.py: it times the classifiers of the last seed. Rounds are interleaved, so that
all variants meet the same machine; memory is the peak of a process of its own, less what it used when the documents
were read and no model was loaded.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tokensieve import compress, load
from tokensieve.backbones.loading import load_config, load_tokenizer
from tokensieve.data import DataSplits
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.memory import peak_memory_bytes, return_large_blocks
from tokensieve.training.stages.fine_tune import set_attention_dropout
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS
from tokensieve_bench.process import resident_bytes, use_threads
from tokensieve_bench.rounds import time_interleaved
from tokensieve_bench.runs import base_of, config_parser, configs_of, run_folder, settings_of, splits_of

CPU = torch.device("cpu")
ROUNDS, STEPS, BATCH, DOCUMENTS = 3, 4, 16, 200


def main() -> None:
    """All of it, or with --memory the peak of one variant."""
    parser = config_parser()
    parser.add_argument("--memory", nargs=2, metavar=("VARIANT", "WHAT"))
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    configs = configs_of(arguments)
    if len(configs) > 1:
        parser.error(f"--set: name one of {', '.join(own['data'] for own in configs.values())}")
    ((name, config),) = configs.items()
    if arguments.memory is not None:
        print(json.dumps(peak(config, name, *arguments.memory, arguments.data)))
        return
    splits = splits_of(config, arguments.data)
    record = {
        "config": config,
        "rounds": ROUNDS,
        "documents": DOCUMENTS,
        "inference_seconds": time_interleaved(inference(config, name, splits), ROUNDS),
        "training_step_seconds": of_a_step(time_interleaved(training(config, splits), ROUNDS)),
        "peak_bytes": {
            variant: {what: of_process(variant, what) for what in ("inference", "training")}
            for variant in config["variants"]
        },
        "training": {"batch": BATCH, "steps": STEPS, "optimizer": "AdamW", "dropout": 0.1, "attention_dropout": 0.0},
        "machine": machine(arguments.threads),
    }
    target = RESULTS / "accuracy" / f"{name}-cost.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def of_a_step(seconds: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """Seconds of a single step, by variant and round, from those of STEPS steps."""
    return {name: [own / STEPS for own in times] for name, times in seconds.items()}


def inference(config: dict[str, Any], name: str, splits: DataSplits) -> dict[str, Callable[[], Any]]:
    """The first test documents, text to label."""
    documents, works = splits.test[:DOCUMENTS], {}
    for variant in config["variants"]:
        engine = load(run_folder(name, variant, config["seeds"][-1]), device="cpu").engine
        works[variant] = partial(engine.classify, documents)
    return works


def untrained(config: dict[str, Any], variant: str) -> Path:
    """The checkpoint of a variant's shape, before any training: time depends on no weights."""
    given = first = config["variants"][variant]
    while "start" in first:
        first = config["variants"][first["start"]]
    model = {key: first[key] for key in ("model",) if key in first}
    return base_of({key: value for key, value in given.items() if key != "start"} | model)


def training(
    config: dict[str, Any], splits: DataSplits, variants: tuple[str, ...] = ()
) -> dict[str, Callable[[], Any]]:
    """Some steps on the first training documents."""
    base = untrained(config, next(iter(config["variants"])))
    tokenizer = load_tokenizer(base, load_config(base))
    items = TokenizedDocuments(
        splits.train[: STEPS * BATCH], tokenizer, config["recipe"]["max_length"], splits.label_names
    )
    batches = [
        tokenizer.pad([items[i] for i in range(start, start + BATCH)], return_tensors="pt")
        for start in range(0, len(items), BATCH)
    ]
    works = {}
    for variant in variants or config["variants"]:
        given = config["variants"][variant]
        model = compress(
            untrained(config, variant),
            settings_of(given),
            tokenizer=tokenizer,
            num_labels=len(splits.label_names),
            problem_type="single_label_classification",
        )
        set_attention_dropout(model.train(), 0.0)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
        works[variant] = partial(steps, model, optimizer, batches)
    return works


def steps(model: Any, optimizer: torch.optim.Optimizer, batches: list[Any]) -> None:
    """One step a batch."""
    for batch in batches:
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()


def of_process(variant: str, what: str) -> int:
    """The peak that a process of its own prints."""
    command = [sys.executable, __file__, *sys.argv[1:], "--memory", variant, what]
    return int(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def peak(config: dict[str, Any], name: str, variant: str, what: str, data: Path) -> int:
    """Bytes above what the process used when the documents were read."""
    splits = splits_of(config, data)
    before = resident_bytes()
    if what == "training":
        return_large_blocks()  # as `tokensieve train` does
        work = training(config, splits, (variant,))[variant]
    else:
        work = inference(config | {"variants": {variant: None}}, name, splits)[variant]
    work()
    return peak_memory_bytes(CPU) - before


if __name__ == "__main__":
    main()
