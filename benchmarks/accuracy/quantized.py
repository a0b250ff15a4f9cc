"""What int8 changes in the answers to test documents -> results/int8/SET.json.

    python benchmarks/accuracy/quantized.py benchmarks/configs/accuracy/cascade.json --data DATA --threads 2

Every run of train.py that is there is quantized as `tokensieve quantize` does it: by validation documents and 1,000
training documents that the run did not have, all without labels. The gate is told and not applied, so that a run that
would be refused counts too. Then both classifiers answer the test documents.

Runs that the record has are not repeated, unless they were trained anew, and each is written when it is done: the
command can be stopped and given again. --set, --variant and --seed pick some; --runs names the folder of runs of
another clone, which is only read.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from tokensieve import load
from tokensieve.quantize.gate import Gate
from tokensieve.quantize.quantize import quantize
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS, RUNS
from tokensieve_bench.record_files import in_order, write_whole
from tokensieve_bench.records import Results
from tokensieve_bench.report.int8 import int8_tables
from tokensieve_bench.runs import chosen, config_parser, configs_of, run_folder, splits_of

UNLABELLED = 1000
FOLDER = RESULTS / "int8"


def main() -> None:
    """All runs that are there and not in the record yet."""
    parser = config_parser()
    parser.add_argument("--variant", action="append", help="this one of the config's (repeatable)")
    parser.add_argument("--seed", type=int, action="append", help="this one of the config's (repeatable)")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the runs (default: build/accuracy)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name, config in configs_of(arguments).items():
        for variant, seed in _asked(config, arguments.variant, arguments.seed):
            place = arguments.runs / run_folder(name, variant, seed).relative_to(RUNS)
            if (place / "run.json").is_file():
                add_run(FOLDER / f"{config['data']}.json", config, variant, place, arguments)
    print(int8_tables(Results(RESULTS)))


def _asked(config: dict[str, Any], variants: list[str] | None, seeds: list[int] | None) -> Iterator[tuple[str, int]]:
    for variant in chosen("--variant", variants, config["headline"]):
        for seed in chosen("--seed", seeds, config["seeds"]):
            yield variant, seed


def add_run(file: Path, config: dict[str, Any], variant: str, place: Path, arguments: Any) -> None:
    """Measure a run and write it into the record of its set, unless it is there."""
    trained, text = json.loads((place / "run.json").read_text(encoding="utf-8")), (place / "run.json").read_bytes()
    mark = {"variant": variant, "seed": trained["seed"], "run": sha256(text).hexdigest()[:12]}
    empty = {"data": config["data"], "truth": trained["truth"], "runs": []}
    record = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else empty
    if any(mark.items() <= own.items() for own in record["runs"]):
        return
    if record["truth"] != trained["truth"]:
        raise SystemExit(f"{file}: its test documents are not those of {place}: remove the record, or train it again")
    others = [own for own in record["runs"] if (own["variant"], own["seed"]) != (variant, trained["seed"])]
    found = mark | measured(config, place, trained, arguments)
    record["runs"] = in_order([*others, found], config["variants"])
    file.parent.mkdir(parents=True, exist_ok=True)
    runs = ",\n  ".join(json.dumps(own) for own in record["runs"])
    head = json.dumps({key: value for key, value in record.items() if key != "runs"}).removesuffix("}")
    write_whole(file, f'{head}, "runs": [\n  {runs}\n]}}\n')


def measured(config: dict[str, Any], place: Path, trained: dict[str, Any], arguments: Any) -> dict[str, Any]:
    """What the gate says, and the answers of both to the test documents."""
    splits = splits_of(config, arguments.data, UNLABELLED)
    documents = [replace(each, label=None) for each in (*splits.validation, *splits.unlabelled)]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "int8"
        report = quantize(place, made, documents, gate=Gate(1.0, 1.0))
        results = load(made, device="cpu").engine.classify(splits.test)
    return {
        "gate": {key: report[key] for key in ("documents", "labels_changed", "mean_change", "attention")},
        "bytes": report["bytes"],
        "bytes_float32": report["bytes_float32"],
        "float32": trained["predicted"],
        "int8": [result.label for result in results],
        "machine": machine(arguments.threads),
        "trained_on": trained["machine"],
    }


if __name__ == "__main__":
    main()
