"""The records of results/vision -> methods on frozen vision hosts, a table a host; and PruMerge behind a tower."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tokensieve_bench.report.accuracy import interval, with_interval
from tokensieve_bench.table import render

Record = dict[str, Any]
_HEAD = ["method", "FLOPs of dense", "accuracy", "points against dense [95 %]", "speed"]


def vision_tables(folder: Path) -> str:
    """A section a host, its rows from the most FLOPs to the fewest."""
    hosts: dict[str, list[Record]] = {}
    for path in sorted(folder.glob("*/*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        hosts.setdefault(record["host"], []).append(record)
    sections = ["\n".join(_section(host, records)) for host, records in sorted(hosts.items())]
    return "\n\n".join(sections) or "Not measured yet."


def _section(host: str, records: list[Record]) -> Iterator[str]:
    dense = next((record for record in records if record["row"] == "dense"), None)
    yield f"## {host}"
    if dense is None:
        yield "Not measured yet."
        return
    yield f"`dense`: accuracy {dense['accuracy']:.3f} on {dense['images']} images."
    yield ""
    rows = [record for record in records if record["row"] != "dense"]
    rows.sort(key=lambda record: (-float(record["share"]), record["row"]))
    yield from render([_HEAD, *(_cells(record, dense) for record in rows)], "markdown")
    yield ""
    yield from _conditions(dense)


def _cells(record: Record, dense: Record) -> list[str]:
    by_image = 100 * (_digits(record["right"]) - _digits(dense["right"]))
    change = with_interval(by_image, interval(by_image))
    return [record["row"], f"{record['flops']:.2f}", f"{record['accuracy']:.3f}", change, _speed(record)]


def _speed(record: Record) -> str:
    """Median and range of the rounds' ratios."""
    if not record.get("seconds"):
        return ""
    pairs = zip(record["seconds"]["dense"], record["seconds"]["own"], strict=True)
    ratios = [whole / part for whole, part in pairs]
    return f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def _conditions(dense: Record) -> list[str]:
    probe = dense["probe"]
    return [
        f"- Frozen [CLS] and mean patch, logistic regression (C = {probe['strength']:g}), {probe['folds']}-fold over "
        "all images; the change is against `dense`, on the same images, by a bootstrap over images.",
        "- FLOPs are those of the body, by the tokens that each image kept. Speed is pixels to vectors, as a multiple "
        "of `dense`, in interleaved rounds: median and range.",
        f"- commit {str(dense['machine']['commit'])[:10]}, {dense['machine']['processor']}",
    ]


def prumerge_table(file: Path) -> str:
    """What is left of an image's tokens, and what the probe reads in them; beside all of them."""
    if not file.is_file():
        return "Not measured yet."
    record = json.loads(file.read_text(encoding="utf-8"))
    rows, times = record["rows"], record.get("milliseconds", {})
    every = _digits(rows["all"]["right"])
    table = [["tokens kept", "mean", "least to most", "accuracy", "points against all [95 %]", "ms an image"]]
    for name, row in rows.items():
        by_image = 100 * (_digits(row["right"]) - every)
        change = "" if name == "all" else with_interval(by_image, interval(by_image))
        took = f"{times[name]:.2f}" if name in times else ""
        counts = f"{row['least']}-{row['most']}"
        table.append([name, f"{row['tokens']:.1f}", counts, f"{row['accuracy']:.3f}", change, took])
    tower = f" The tower takes {times['tower']:.1f} ms an image." if times else ""
    probe = record["config"]["probe"]
    notes = (
        f"- {record['images']} images; logistic regression (C = {probe['strength']:g}), {probe['folds']}-fold, on the "
        f"mean of the tokens that are left.{tower}\n- commit {str(record['machine']['commit'])[:10]}, "
        f"{record['machine']['processor']}"
    )
    return "\n".join([*render(table, "markdown"), "", notes])


def _digits(text: str) -> np.ndarray:
    return np.array(list(text), dtype=float)
