"""results/int8/*.json -> the table of what int8 changes in the answers to test documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tokensieve_bench.places import FIVE_SETS
from tokensieve_bench.record_files import Record
from tokensieve_bench.records import Results
from tokensieve_bench.report.accuracy import interval, loss_verdict, with_interval
from tokensieve_bench.report.frontier import config_of
from tokensieve_bench.table import made_with, render

MOST_LOST, MOST_CHANGED = 0.2, 0.015
"""The bars: points of accuracy lost on all sets together, and the share of labels changed."""
_HEAD = ["set", "classifier", "seeds", "test documents", "float32", "int8", "points [95 %]", "labels changed"]


def int8_tables(results: Results) -> str:
    """A row for each set and classifier, one for all sets of a classifier, and one for all of them; then the bars."""
    records = results.read_all("int8/*")
    rows = [row for record in records.values() for row in _rows_of_set(record)]
    if not rows:
        return "Nothing is measured yet."
    variants = list(dict.fromkeys(run["variant"] for record in records.values() for run in record["runs"]))
    for variant in variants if len(records) > 1 else ():
        rows.append(_together(records.values(), [variant]))
    everything = _together(records.values(), variants)
    lines = render([_HEAD, *rows, everything], "markdown")
    return "\n".join([*lines, "", *_bars(records.values(), variants), "", *_conditions(records)])


def gaps(record: Record, variants: Sequence[str]) -> np.ndarray[Any, Any]:
    """Points that int8 gains on each test document, the mean over the runs of these classifiers."""
    truth = np.array(record["truth"])
    found = [
        (np.array(run["int8"]) == truth).astype(float) - (np.array(run["float32"]) == truth)
        for run in _runs(record, variants)
    ]
    by_document: np.ndarray[Any, Any] = 100 * np.mean(found, axis=0)
    return by_document


def changed(records: Iterable[Record], variants: Sequence[str]) -> float:
    """The share of labels that int8 changes, over all answers."""
    pairs = [(run["float32"], run["int8"]) for record in records for run in _runs(record, variants)]
    return float(np.mean(np.concatenate([np.array(before) != np.array(after) for before, after in pairs])))


def _runs(record: Record, variants: Sequence[str]) -> list[Record]:
    return [run for run in record["runs"] if run["variant"] in variants]


def _rows_of_set(record: Record) -> list[list[str]]:
    rows, truth = [], np.array(record["truth"])
    for variant in dict.fromkeys(run["variant"] for run in record["runs"]):
        runs = _runs(record, [variant])
        scores = [np.mean([np.mean(np.array(run[kind]) == truth) for run in runs]) for kind in ("float32", "int8")]
        seeds = ", ".join(str(run["seed"]) for run in runs)
        told = [f"{score:.4f}" for score in scores]
        rows.append([record["data"], variant, seeds, str(len(truth)), *told, *_told([record], [variant])])
    return rows


def _together(records: Iterable[Record], variants: Sequence[str]) -> list[str]:
    own = [record for record in records if _runs(record, variants)]
    count = str(sum(len(record["truth"]) for record in own))
    return ["all", " and ".join(variants), "", count, "", "", *_told(own, variants)]


def _pooled(records: Iterable[Record], variants: Sequence[str]) -> np.ndarray[Any, Any]:
    return np.concatenate([gaps(record, variants) for record in records if _runs(record, variants)])


def _told(records: Sequence[Record], variants: Sequence[str]) -> list[str]:
    """Points with their interval, and the share of labels changed."""
    by_document = _pooled(records, variants)
    return [with_interval(by_document, interval(by_document)), f"{changed(records, variants):.2%}"]


def _bars(records: Iterable[Record], variants: Sequence[str]) -> list[str]:
    own = list(records)
    met, where = ("missed", "met")[changed(own, variants) <= MOST_CHANGED], _evidence(own)
    return [
        f"- at most {MOST_LOST:g} points lost, all documents together: "
        f"{loss_verdict(_pooled(own, variants), MOST_LOST, where)}",
        f"- at most {MOST_CHANGED:.1%} of the labels changed: {met}{where}",
    ]


def _evidence(records: Iterable[Record]) -> str:
    """On how many of the config's sets all classifiers were measured."""
    config = config_of(FIVE_SETS)  # the classifiers of its headline are made int8, on every set
    whole = [record["data"] for record in records if all(_runs(record, [own]) for own in config["headline"])]
    return f", on {len(config['sets'].keys() & set(whole))} of {len(config['sets'])} sets"


def _conditions(records: dict[str, Record]) -> list[str]:
    """The conditions that the figures hold for."""
    runs = [run for record in records.values() for run in record["runs"]]
    refused = [run for run in runs if run["gate"]["labels_changed"] > MOST_CHANGED or run["gate"]["mean_change"] > 0.01]
    return [
        "- The interval is a bootstrap over the test documents, with the seeds of a document averaged.",
        f"- The gate was told and not applied; with its defaults it would have tried again for {len(refused)} of "
        f"{len(runs)} runs.",
        f"- {made_with(run['machine'] for run in runs)}",
        f"- encoders trained: {made_with(run['trained_on'] for run in runs)}",
    ]
