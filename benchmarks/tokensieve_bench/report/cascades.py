"""The records of results/cascade -> the table of cascades that begin with a bag of words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from tokensieve_bench.places import FIVE_SETS
from tokensieve_bench.records import Results
from tokensieve_bench.report.accuracy import interval, recipe_of, with_interval
from tokensieve_bench.table import alternatives, made_with, render

SHOWN = "words -> pruned, 0.5"
"""What `--preset cascade` makes."""


def cascade_table(results: Results) -> str:
    """A row a set, and one of all documents together if there are several; all on the same test documents."""
    records = {name: record for name, record in results.read_all("cascade/*").items() if "runs" in record}
    rows = [
        [
            *("set", "seeds", "test documents", "words", "`dense`", "`fast`", "`cascade`", "read by the encoder"),
            *("against `dense`, points [95 %]", "against words, points [95 %]"),
        ]
    ]
    pooled: dict[str, list[np.ndarray]] = {"dense": [], "words": []}
    for name, record in records.items():
        right = {
            stage: np.mean([_right(record, run, stage) for run in record["runs"]], axis=0)
            for stage in ("words", "dense", "fast", SHOWN)
        }
        share = np.mean([run["cascades"][SHOWN]["share"]["test"] for run in record["runs"]])
        against = {stage: 100 * (right[SHOWN] - right[stage]) for stage in pooled}
        for stage, by_document in against.items():
            pooled[stage].append(by_document)
        listed = ", ".join(str(run["seed"]) for run in record["runs"])
        scores = [f"{right[stage].mean():.4f}" for stage in right]
        differences = [with_interval(own, interval(own)) for own in against.values()]
        rows.append([name, listed, str(record["documents"]["test"]), *scores, f"{share:.1%}", *differences])
    if len(records) > 1:
        together = {stage: np.concatenate(own) for stage, own in pooled.items()}
        count = str(len(together["dense"]))
        differences = [with_interval(own, interval(own)) for own in together.values()]
        rows.append(["all", "", count, "", "", "", "", "", *differences])
    seeds = {name: [run["seed"] for run in record["runs"]] for name, record in records.items()}
    return "\n".join([*render(rows, "markdown"), "", *_conditions(records), *trained_with(results, seeds)])


def trained_with(results: Results, seeds: Mapping[str, Collection[int]], config: str = FIVE_SETS) -> list[str]:
    """A note on the trainings that answers come from; none where their records are not there.

    Args:
        results: that have the records of trainings.
        seeds: that the answers are of, by set.
        config: of the trainings.
    """
    names = {name: f"accuracy/{config}-{name}" for name in seeds if results.has(f"accuracy/{config}-{name}")}
    runs = [run for name, own in names.items() for run in results.read(own)["runs"] if run["seed"] in seeds[name]]
    return [f"- encoders trained: {made_with(run['machine'] for run in runs)}"] if runs else []


def _right(record: dict[str, Any], run: dict[str, Any], stage: str) -> np.ndarray:
    """Whether each test document was classified rightly."""
    found: np.ndarray = (np.array(run["predicted"][stage]) == np.array(record["truth"]["test"])).astype(float)
    return found


def _conditions(records: dict[str, Any]) -> list[str]:
    """The conditions that the figures hold for."""
    counts = ", ".join(f"{name} {record['documents']['train']}" for name, record in records.items())
    return [
        f"- training documents: {counts}; {alternatives(map(_trained, records.values()))}; the bag of words reads "
        "whole texts. What the cascade has was fitted to the validation documents "
        f"({', '.join(str(record['documents']['validation']) for record in records.values())}).",
        "- The interval is a bootstrap over the test documents, on the same documents for both.",
        f"- {made_with(record['machine'] for record in records.values())}",
    ]


def _trained(record: dict[str, Any]) -> str:
    """How the dense encoder was trained."""
    recipe = recipe_of(record["config"])
    return (
        f"{recipe['epochs']} epoch{'s' * (recipe['epochs'] != 1)} at {recipe['learning_rate']:g}, "
        f"{recipe['max_length']} tokens, the epoch by validation {recipe['select']}"
    )
