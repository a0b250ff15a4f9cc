"""What `tokensieve tune` tries and chooses, from the dense run of train.py -> results/tune/SET.json.

    python benchmarks/accuracy/tuned.py benchmarks/configs/accuracy/cascade.json --data DATA --set bbc --budget 0

The record has every candidate, the measured speed and the loss of those that no other one beats, the chosen plan with
its frontier, and how long it took. It is a timing: give it an idle machine. The chosen classifier is left beside the
run, as dense-seedN-tuned.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tokensieve.cli.tune import tuned_record
from tokensieve.runtime.frontier import times
from tokensieve.tune.goal import Goal
from tokensieve.tune.tune import tune
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS, RUNS
from tokensieve_bench.process import use_threads
from tokensieve_bench.record_files import write_whole
from tokensieve_bench.records import Results
from tokensieve_bench.report.tuned import tuned_tables
from tokensieve_bench.runs import config_parser, configs_of, run_folder, splits_of

FOLDER = RESULTS / "tune"


def main() -> None:
    """All sets, or those that are named."""
    parser = config_parser()
    parser.add_argument("--seed", type=int, default=1, help="of the run")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the runs (default: build/accuracy)")
    parser.add_argument("--budget", type=float, help="points that may be lost (default: 0)")
    parser.add_argument("--target-speed", help="times the dense encoder, such as 10x, in place of a budget")
    parser.add_argument("--feature-epochs", type=int, default=0, help="as of `tokensieve tune`")
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    for name, config in configs_of(arguments).items():
        run = arguments.runs / run_folder(name, "dense", arguments.seed).relative_to(RUNS)
        if not (run / "training.json").is_file():
            raise SystemExit(
                f"{run}: no dense classifier is there: train it with train.py, or name its folder (--runs)"
            )
        record = measured(config, run, run_folder(name, "dense", arguments.seed), arguments)
        FOLDER.mkdir(parents=True, exist_ok=True)
        write_whole(FOLDER / f"{config['data']}.json", json.dumps(record, indent=1) + "\n")
    print(tuned_tables(Results(RESULTS)))


def measured(config: dict[str, Any], run: Path, own: Path, arguments: Any) -> dict[str, Any]:
    """What was tried and chosen; `own` is the folder of this checkout for the run."""
    speed = None if arguments.target_speed is None else times(arguments.target_speed)
    goal = Goal(arguments.budget if speed is not None or arguments.budget is not None else 0.0, speed)
    splits, output = splits_of(config, arguments.data), own.with_name(f"{own.name}-tuned")
    output.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    done = tune(run, splits, output, goal, feature_epochs=arguments.feature_epochs, overwrite=True)
    return {
        "data": config["data"],
        "seed": arguments.seed,
        "feature_epochs": arguments.feature_epochs,
        "seconds": time.perf_counter() - start,
        "documents": {"train": len(splits.train), "validation": len(splits.validation)},
        **{key: value for key, value in tuned_record(done, output).items() if key != "output"},
        "machine": machine(arguments.threads),
    }


if __name__ == "__main__":
    main()
