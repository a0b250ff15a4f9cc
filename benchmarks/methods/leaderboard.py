"""Every method at the same FLOPs, on the same documents -> results/methods/<set>/<row>.json, a file a job.

    python benchmarks/methods/leaderboard.py benchmarks/configs/methods/leaderboard.json --data DATA --threads 1
    python benchmarks/methods/leaderboard.py benchmarks/configs/methods/leaderboard.json --data DATA --threads 2 --time

A row starts from the dense classifier of its set, a run of train.py that the config names, and is compared with that
classifier, trained for as many epochs more: the job `dense`, which every command includes. A row is measured as it
starts (scores and the last layer of the head are fitted in closed form), and after the epochs of the config's recipe.
--row picks some. --time adds the seconds, beside dense in interleaved rounds, to the records that have none; run it on
an idle machine, before the classifiers are removed. A job that was timed is not repeated, even if the dense classifier
was trained anew since; nor is one whose classifier is here. `make leaderboard` makes the table of what there is.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from tokensieve import load
from tokensieve.backbones.loading import load_config, load_tokenizer
from tokensieve.data import DataSplits
from tokensieve.model.configuration import TokensieveConfig
from tokensieve_bench.leaderboard import DENSE, Job, jobs_of, rows_of
from tokensieve_bench.places import RUNS
from tokensieve_bench.process import use_threads
from tokensieve_bench.rounds import time_interleaved
from tokensieve_bench.row import finish, measure
from tokensieve_bench.runs import chosen, config_parser, configs_of, run_folder, splits_of, weights_digest

COUNTED = 200
"""Test documents by whose lengths FLOPs are counted ahead."""
LENGTHS = 16
"""Lengths that stand for those of all of them."""
TOGETHER = 8
"""Jobs that are timed in the same rounds as one pass of dense."""


def main() -> None:
    """All jobs that are not done; with --job one of them; with --time the seconds that are missing."""
    parser = config_parser()
    parser.add_argument("--row", action="append", help="this one alone (repeatable)")
    parser.add_argument("--job", nargs=3, metavar=("SET", "NAME", "ROW"), help="in this process")
    parser.add_argument("--time", action="store_true")
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    config = json.loads(arguments.config.read_text(encoding="utf-8"))
    rows = [arguments.job[2]] if arguments.job else [DENSE, *chosen("--row", arguments.row, rows_of(config))]
    for own in configs_of(arguments).values():
        data, splits = own["data"], splits_of(own, arguments.data)
        if arguments.job and arguments.job[0] != data:
            continue
        dense = run_folder(f"{config['dense']['config']}-{data}", "dense", config["dense"]["seed"])
        if not (dense / "training.json").is_file():
            parser.error(f"{dense}: no dense classifier: run train.py with this config and seed first")
        lengths = _lengths(dense, splits, config)
        jobs = list(jobs_of(config, data, _config(dense), lengths, weights_digest(dense), rows))
        if arguments.job:
            job = next(job for job in jobs if job.name == arguments.job[1])
            measure(job, config, dense, splits, folder_of(job), arguments.threads)
            continue
        if arguments.time:
            time_all([job for job in jobs if may_be_timed(job)], config, dense, splits)
        else:
            run_all([job for job in jobs if not is_done(job)])


def folder_of(job: Job) -> Path:
    """The folder of its classifier."""
    return RUNS / "methods" / job.data / job.name


def is_done(job: Job) -> bool:
    """Whether the job was measured and timed, or can still be timed."""
    return job.record.is_file() and (bool(_record(job).get("seconds")) or may_be_timed(job))


def may_be_timed(job: Job) -> bool:
    """Whether the job was measured from this dense classifier, and its own classifier is here."""
    return job.record.is_file() and _record(job).get("dense_digest") == job.start and folder_of(job).is_dir()


def run_all(jobs: list[Job]) -> None:
    """Run jobs, each in a process of its own. One that fails is told, and the others go on."""
    failed = []
    for job in jobs:
        print(f"{job.data}: {job.row} at {job.share}", flush=True)
        own = ["--job", job.data, job.name, job.row]
        if subprocess.run([sys.executable, __file__, *sys.argv[1:], *own], check=False).returncode:
            failed.append(f"{job.data}: {job.name}")
    if failed:
        raise SystemExit("failed: " + ", ".join(failed))


def time_all(jobs: list[Job], config: dict[str, Any], dense: Path, splits: DataSplits) -> None:
    """Seconds of the jobs that lack them, beside dense: text to label, in interleaved rounds, some jobs in a round."""
    timed = config["timed"]
    documents = splits.test[: timed["documents"]]
    left = [job for job in jobs if not _record(job).get("seconds")]
    for together in (left[start : start + TOGETHER] for start in range(0, len(left), TOGETHER)):
        folders = {DENSE: dense} | {job.name: folder_of(job) for job in together}  # a job's name has its share, too
        engines = {name: load(folder, device="cpu").engine for name, folder in folders.items()}
        calls = {name: partial(engine.classify, documents) for name, engine in engines.items()}
        rounds = time_interleaved(calls, timed["rounds"])
        for job in together:
            finish(job, _record(job), {"dense": rounds[DENSE], "own": rounds[job.name]}, len(documents))
            print(f"{job.data}: {job.name} timed", flush=True)


def _record(job: Job) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(job.record.read_text(encoding="utf-8"))
    return record


def _config(dense: Path) -> TokensieveConfig:
    config = load_config(dense)
    assert isinstance(config, TokensieveConfig)
    return config


def _lengths(dense: Path, splits: DataSplits, config: dict[str, Any]) -> list[int]:
    """Tokens of some test documents, special tokens included: evenly spaced ones of the sorted lengths."""
    tokenizer = load_tokenizer(dense, load_config(dense))
    texts = [document.text for document in splits.test[:COUNTED]]
    ids = tokenizer(texts, truncation=True, max_length=config["recipe"]["max_length"])["input_ids"]
    lengths = sorted(len(row) for row in ids)
    return [lengths[(2 * number + 1) * len(lengths) // (2 * LENGTHS)] for number in range(LENGTHS)]


if __name__ == "__main__":
    main()
