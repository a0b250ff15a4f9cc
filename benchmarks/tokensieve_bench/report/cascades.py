"""The records of results/cascade -> the table of cascades that begin with a bag of words."""

from __future__ import annotations

from typing import Any

import numpy as np

from tokensieve_bench.records import Results
from tokensieve_bench.report.accuracy import interval, with_interval
from tokensieve_bench.table import render

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
        seeds = ", ".join(str(run["seed"]) for run in record["runs"])
        scores = [f"{right[stage].mean():.4f}" for stage in right]
        differences = [with_interval(own, interval(own)) for own in against.values()]
        rows.append([name, seeds, str(record["documents"]["test"]), *scores, f"{share:.1%}", *differences])
    if len(records) > 1:
        together = {stage: np.concatenate(own) for stage, own in pooled.items()}
        count = str(len(together["dense"]))
        differences = [with_interval(own, interval(own)) for own in together.values()]
        rows.append(["all", "", count, "", "", "", "", "", *differences])
    return "\n".join([*render(rows, "markdown"), "", *_conditions(records)])


def _right(record: dict[str, Any], run: dict[str, Any], stage: str) -> np.ndarray:
    """Whether each test document was classified rightly."""
    found: np.ndarray = (np.array(run["predicted"][stage]) == np.array(record["truth"]["test"])).astype(float)
    return found


def _conditions(records: dict[str, Any]) -> list[str]:
    """What the figures hold for."""
    counts = ", ".join(f"{name} {record['documents']['train']}" for name, record in records.items())
    lines = [
        f"- training documents: {counts}; three epochs at 2e-4, 256 tokens, the epoch by validation accuracy; the bag "
        "of words reads whole texts. What the cascade has was fitted to the validation documents "
        f"({', '.join(str(record['documents']['validation']) for record in records.values())}).",
        "- The interval is a bootstrap over the test documents, on the same documents for both.",
    ]
    machines = sorted({(own["machine"]["commit"][:10], own["machine"]["processor"]) for own in records.values()})
    return [*lines, *(f"- commit {commit}, {processor}" for commit, processor in machines)]
