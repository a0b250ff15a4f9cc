"""Many rows on a local Ray cluster, one of whose workers is killed -> results/scale/killed.json.

    python benchmarks/scale/killed.py benchmarks/configs/scale/workers.json --data DATA

A bag of words is trained on the set for it, and a second one on fewer documents. What is checked: each row has one
record; the parts, joined, are the bytes that one process writes; a second start does nothing; the other classifier is
refused. Memory is that of a run of few rows, beside that of all rows. Nothing here is a measurement of time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from local import Run, command, environment, read_config, train_words, write_rows

from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS
from tokensieve_bench.report.scale import killed_table


def main() -> None:
    """Run, check, write, print."""
    arguments = read_config().parse_args()
    config = json.loads(arguments.config.read_text(encoding="utf-8"))
    data = arguments.data / config["data"]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model, other = train_words(folder / "words", data), train_words(folder / "other", data, 1000)
        few = write_rows(folder, data, config["few_rows"])
        rows = write_rows(folder, data, config["rows"])
        on_cluster = ["--ray", "local", "--workers", config["workers"], "--threads", config["threads"]]
        small = Run(_predict(model, few, folder / "few", *on_cluster), config["threads"]).finish()
        whole = folder / "whole.jsonl"
        one = Run(_predict(model, rows, whole, "--threads", config["threads"]), config["threads"]).finish()
        killed, peaks = _killed(_predict(model, rows, folder / "out", *on_cluster), folder / "out", config["threads"])
        joined = folder / "joined.jsonl"
        subprocess.run(command("merge", "--input", folder / "out", "--output", joined), check=True)
        record: dict[str, Any] = {
            "config": config,
            "killed": {**killed, **_compared(joined, whole, config["rows"])},
            "second_start": _second(_predict(model, rows, folder / "out", *on_cluster), folder / "out", config),
            "other_model": _refused(_predict(other, rows, folder / "out", *on_cluster), folder / "out", config),
            "peak_bytes": {"few rows": small.peaks, "all rows": peaks, "one process": one.peaks},
            "machine": machine(config["threads"]),
        }
    target = RESULTS / "scale" / "killed.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print("\n".join(killed_table(record)))


def _predict(model: Path, rows: Path, output: Path, *options: object) -> list[str]:
    return command("predict", "--model", model, "--input", rows, "--output", output, *options)


def _killed(arguments: list[str], folder: Path, threads: int) -> tuple[dict[str, Any], dict[str, int]]:
    """A run whose first worker gets SIGKILL as soon as it has told of itself, while a part is in the making."""
    found: dict[str, Any] = {}

    def kill(process: int) -> None:
        if found:
            return
        while not list(folder.glob("*.part")):
            time.sleep(0.001)
        os.kill(process, signal.SIGKILL)
        found["parts_before"] = len(list(folder.glob("part-*.jsonl")))

    run = Run(arguments, threads).finish(kill)
    parts = len(list(folder.glob("part-*.jsonl")))
    left = [path.name for path in folder.iterdir() if path.name != "manifest.json" and path.suffix != ".jsonl"]
    processes = len(set(run.workers))
    return {**found, "parts": parts, "left_behind": left, "worker_processes": processes}, run.peaks


def _compared(joined: Path, whole: Path, rows: int) -> dict[str, Any]:
    """Whether each row has one record, and whether the bytes are those of one process."""
    with open(joined, encoding="utf-8") as file:
        lines = [json.loads(line)["line"] for line in file]
    return {
        "records": len(lines),
        "rows_missing": len(set(range(1, rows + 1)) - set(lines)),
        "rows_twice": len(lines) - len(set(lines)),
        "same_bytes_as_one_process": _hash(joined) == _hash(whole),
        "bytes": joined.stat().st_size,
    }


def _hash(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _state(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def _second(arguments: list[str], folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    before = _state(folder)
    run = Run(arguments, config["threads"]).finish()
    return {"files_touched": before != _state(folder), "workers_started": len(run.workers)}


def _refused(arguments: list[str], folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    before = _state(folder)
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment(config["threads"]))
    said = done.stderr.strip().splitlines()[-1].replace(f"{folder.parent}/", "")
    return {"files_touched": before != _state(folder), "exit_status": done.returncode, "said": said}


if __name__ == "__main__":
    main()
