"""Quantile pruning of frozen vectors, searched on some few-shot tasks and applied to another -> results/assistants/.

    python benchmarks/accuracy/assistants.py benchmarks/configs/accuracy/assistants.json --data DATA
    python benchmarks/accuracy/assistants.py benchmarks/configs/accuracy/assistants.json --data DATA --time

Each family of tasks has a record, which a run that was cut off goes on with. The first command tries every
configuration on every task. It leaves one task out at a time, takes the configuration with the fewest FLOPs that the
others allow, and applies it to the task that was left out, on more of its test documents. A task of "whole" is in no
search: for it the search leaves out every task of the same data set. The second command times the configurations that
were taken, beside the unpruned encoder in rounds by turns. It belongs on an idle machine, and begins nothing new after
--minutes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tokensieve.data import DataSplits, load_splits
from tokensieve.data.documents import Document
from tokensieve.tune.assistants import Trial, choose, row_of, trials
from tokensieve.tune.configurations import Configuration, Encoders, Grid
from tokensieve.tune.few_shot import FewShotTask, few_shot_task
from tokensieve.tune.measure import paired_ratios
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS
from tokensieve_bench.record_files import write_whole
from tokensieve_bench.report.assistants import rows_of
from tokensieve_bench.runs import chosen

FOLDER = RESULTS / "assistants"
ROUNDS = 5
ALONE = 32
"""Texts of a round that are encoded one at a time."""
NORMAL = 1.959964
"""Half a 95 % interval, in standard errors."""

Record = dict[str, Any]


def main() -> None:
    """All families, or those that are named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    parser.add_argument("--family", action="append", help="this one (repeatable)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--time", action="store_true", help="time what was taken; needs the records")
    parser.add_argument("--minutes", type=float, default=7.0, help="with --time: begin nothing new after that")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = json.loads(arguments.config.read_text(encoding="utf-8"))
    end = time.monotonic() + 60 * arguments.minutes
    for name in chosen("--family", arguments.family, config["families"]):
        common = {key: config[key] for key in config if key != "families"}
        bench = Family(name, {**common, **config["families"][name]}, arguments.data)
        if arguments.time:
            bench.time(end, arguments.threads)
        else:
            bench.run(arguments.threads)


class Family:
    """A family of tasks, and its record."""

    def __init__(self, name: str, config: Record, data: Path) -> None:
        self.config, self.data, self.file = config, data, FOLDER / f"{name}.json"
        self.shots = tuple(config["shots"])
        self.encoders = Encoders(max_length=config["max_length"])
        self.splits: Callable[[str], DataSplits] = cache(lambda set_name: load_splits(data / set_name))
        self.record = as_far_as(self.file, json.loads(json.dumps(config)))

    def run(self, threads: int) -> None:
        """Add the figures that the record lacks; each names its machine by the place in "machines"."""
        tasks = [self.task(name, self.config["test"]) for name in self.config["tasks"]]
        self.record["tasks"] |= {task.name: self.told(task) for task in tasks}
        self.machine = machine(threads)
        self.search(tasks)
        for name in (*self.config["tasks"], *self.config["whole"]):
            self.apply(name)
        self.save()

    def task(self, name: str, most: int | None) -> FewShotTask:
        """A task with its shots, which are the same for any number of test documents."""
        given = self.config["tasks"].get(name) or self.config["whole"][name]
        splits = self.splits(given["data"])
        labels = set(labels_of(given, splits.label_names))
        train = [one for one in (*splits.train, *self.carved(splits)) if one.label in labels]
        test = [one for one in splits.test if one.label in labels]
        drawn: dict[str, Any] = {"shots": max(self.shots), "draws": self.config["draws"], "seed": self.config["seed"]}
        return few_shot_task(name, train, test, **drawn, most=most)

    def carved(self, splits: DataSplits) -> Sequence[Document]:
        """Documents that were carved off training for validation: shots are drawn of all."""
        train = {document.source for document in splits.train}
        return [document for document in splits.validation if document.source in train]

    def told(self, task: FewShotTask) -> Record:
        texts = [task.documents[place].text for place in task.test]
        words = float(np.mean([len(text.split()) for text in texts]))
        return {"labels": task.draws.shape[1], "test": len(task.test), "words": round(words, 1)}

    def search(self, tasks: Sequence[FewShotTask]) -> None:
        """Try what the record lacks, and save after each (q, l, m)."""
        grid = Grid(**{name: tuple(values) for name, values in self.config["grid"].items()})
        known = [trial["configuration"] for trial in self.record["trials"]]
        last = grid.min_lengths[-1]
        left = [own for own in grid.without_length() if list(own._replace(min_length=last)) not in known]
        if not left:
            return
        for trial in trials(self.encoders, tasks, left, grid.min_lengths, self.shots):
            own = None if trial.configuration is None else list(trial.configuration)
            if own not in known:
                right = {
                    str(shots): {name: int(counts.sum()) for name, counts in by_task.items()}
                    for shots, by_task in trial.right.items()
                }
                flops = {name: round(value / 1e6) for name, value in trial.flops.items()}
                about = {"configuration": own, "machine": self.place_of_machine()}
                self.record["trials"].append({**about, "right": right, "megaflops": flops})
            if own is None or own[0] == last:
                self.save()
                print(self.file.stem, own, flush=True)

    def apply(self, name: str) -> None:
        """Take a configuration by the other tasks, and apply it to this one."""
        done = {(entry["task"], entry["shots"], entry["tolerance"]) for entry in self.record["held_out"]}
        wanted = [(shots, bound) for shots in self.shots for bound in self.config["tolerances"]]
        wanted = [each for each in wanted if (name, *each) not in done]
        if not wanted:
            return
        others = self.others(name)
        taken = {each: choose(rows_of(self.record, others, each[0]), each[1]) for each in wanted}
        task = self.task(name, self.config["whole_test" if name in self.config["whole"] else "held_test"])
        self.record["tasks"][f"{name}, held out"] = self.told(task)
        found: dict[Configuration | None, Trial] = {}
        for own in {None, *(row.configuration for row in taken.values())}:
            encoded = [] if own is None else [own]
            for trial in trials(self.encoders, [task], encoded, [0 if own is None else own.min_length], self.shots):
                found[trial.configuration] = trial
        for (shots, bound), row in taken.items():
            entry = held_out(task, found[row.configuration], found[None], shots)
            searched = {"searched": len(others), "expected": row.change, "expected_flops": row.flops}
            head = {"task": name, "shots": shots, "tolerance": bound, "machine": self.place_of_machine()}
            self.record["held_out"].append({**head, **entry, **searched})
        self.save()
        print(self.file.stem, name, flush=True)

    def place_of_machine(self) -> int:
        """The place of this machine in the record, which has it from its first figure on.

        Older figures have no place; "machine" is theirs, where the record has it.
        """
        machines = self.record.setdefault("machines", [])
        if self.machine not in machines:
            machines.append(self.machine)
        place: int = machines.index(self.machine)
        return place

    def others(self, name: str) -> list[str]:
        """The tasks that the search for a task sees."""
        whole = self.config["whole"].get(name)
        if whole is None:
            return [other for other in self.config["tasks"] if other != name]
        return [other for other, given in self.config["tasks"].items() if given["data"] != whole["data"]]

    def time(self, end: float, threads: int) -> None:
        """Time what was taken, as a share of the unpruned encoder's time, in batches and a text at a time."""
        timing = {"threads": threads, "rounds": ROUNDS, "texts": self.config["timed"], "alone": ALONE, "tasks": {}}
        self.record["timing"] = timing
        dense = self.encoders.by(None)
        for name in dict.fromkeys(entry["task"] for entry in self.record["held_out"]):
            own = [entry for entry in self.record["held_out"] if entry["task"] == name and entry["configuration"]]
            task = self.task(name, self.config["timed"])
            texts = [task.documents[place].text for place in task.test]
            for configuration in {tuple(entry["configuration"]) for entry in own}:
                if time.monotonic() > end:
                    raise SystemExit(f"{name}: left out, as the minutes are over: give more --minutes")
                encoder = self.encoders.by(Configuration(*configuration))
                ratios = {
                    "configuration": list(configuration),
                    "batch": paired_ratios(encoder, dense, texts, ROUNDS),
                    "alone": paired_ratios(encoder, dense, texts[:ALONE], ROUNDS, alone=True),
                }
                timing["tasks"].setdefault(name, []).append(ratios)
            timing["machine"] = machine(threads)
            self.save()
            print(self.file.stem, name, flush=True)

    def save(self) -> None:
        """Write the record as a whole, an entry a line."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        lists = {key: value for key, value in self.record.items() if isinstance(value, list)}
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in self.record.items() if key not in lists]
        for key, value in lists.items():
            lines.append(f"{json.dumps(key)}: [\n    " + ",\n    ".join(map(json.dumps, value)) + "\n  ]")
        write_whole(self.file, "{\n  " + ",\n  ".join(lines) + "\n}\n")


def as_far_as(file: Path, config: Record) -> Record:
    """The record that there is, as far as the config lets it be; a wider grid keeps the trials."""
    found: Record = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if found.get("config") == config:
        return found
    start: Record = {"config": config, "tasks": {}, "trials": [], "held_out": []}
    if found and {**found["config"], "grid": config["grid"]} == config:
        start |= {key: found[key] for key in ("trials", "machine", "machines") if key in found}
    return start


def labels_of(given: Record, names: Sequence[str]) -> Sequence[str]:
    """The labels of a task: those that are named, one of several runs of all in order, or all."""
    if "labels" in given:
        return list(given["labels"])
    number, parts = given.get("part", (0, 1))
    return [str(name) for name in np.array_split(np.array(names), parts)[number]]


def held_out(task: FewShotTask, trial: Trial, dense: Trial, shots: int) -> Record:
    """The effect of a configuration on a task: the interval is over the test documents, whose draws are averaged."""
    row = row_of(trial, dense, shots, [task])
    before, after = (own.right[shots][task.name] for own in (dense, trial))
    gaps = 100 * (after - before) / len(task.draws)
    half = NORMAL * float(gaps.std()) / len(gaps) ** 0.5
    return {
        "configuration": None if trial.configuration is None else list(trial.configuration),
        "accuracy": float(before.mean()) / len(task.draws),
        "change": row.changes[task.name],
        "interval": [row.changes[task.name] - half, row.changes[task.name] + half],
        "flops": row.flops,
    }


if __name__ == "__main__":
    main()
