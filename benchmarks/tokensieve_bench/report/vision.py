"""The records of results/vision -> methods on frozen vision hosts, a table a host; and PruMerge behind a tower."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tokensieve_bench.figures import Spread, paired
from tokensieve_bench.report.accuracy import interval, loss_verdict, with_interval
from tokensieve_bench.table import alternatives, made_with, render, threads_of

Record = dict[str, Any]
_HEAD = ["method", "FLOPs of dense", "accuracy", "points against dense [95 %]", "images/s, times dense"]
_BAR_OF, _AT = "zero-tprune", "0.65"
"""The row that has bars, and the share of the FLOPs that they hold at."""
_FASTER, _MOST_LOST = 1.35, 2.0
"""The bars: times the images per second of dense, and points that the probe may lose."""


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
    yield from _bars(rows, dense)
    yield ""
    yield from _conditions([dense, *rows])


def _cells(record: Record, dense: Record) -> list[str]:
    by_image, faster = _gained(record, dense), _faster(record)
    change = with_interval(by_image, interval(by_image))
    told = "-" if faster is None else f"{faster.median:.2f} ({faster.low:.2f}-{faster.high:.2f})"
    return [record["row"], f"{record['flops']:.2f}", f"{record['accuracy']:.3f}", change, told]


def _gained(record: Record, dense: Record) -> np.ndarray:
    """Points more than dense, by image."""
    points: np.ndarray = 100 * (_digits(record["right"]) - _digits(dense["right"]))
    return points


def _faster(record: Record) -> Spread | None:
    """Times the images per second of dense in the same round; None where nobody timed it."""
    seconds = record.get("seconds")
    return paired(seconds["dense"], seconds["own"]) if seconds else None


def _bars(rows: list[Record], dense: Record) -> list[str]:
    """What the row with bars reaches on this host."""
    record = next((own for own in rows if (own["row"], own["share"]) == (_BAR_OF, _AT)), None)
    speed = loss = "not judged: the row was not measured here"
    if record is not None:
        faster, loss = _faster(record), loss_verdict(_gained(record, dense), _MOST_LOST)
        speed = "not judged: it was not timed yet"
        if faster is not None:
            speed = f"{'met' if faster.median >= _FASTER else 'missed'}, {faster.median:.2f}"
    where = f"`{_BAR_OF}` at {_AT} of the FLOPs"
    return [
        f"- {where}, at least {_FASTER:g} times the images per second: {speed}",
        f"- {where}, at most {_MOST_LOST:g} points lost: {loss}",
    ]


def _conditions(records: list[Record]) -> list[str]:
    probe, timed = records[0]["probe"], [record for record in records if record.get("seconds")]
    notes = [
        f"- Frozen [CLS] and mean patch, logistic regression (C = {probe['strength']:g}), {probe['folds']}-fold over "
        "all images; the change is against `dense`, on the same images, by a bootstrap over images.",
        "- FLOPs are those of the body, by the tokens that each image kept. Images per second are from pixels to "
        "vectors, as a multiple of `dense` in the same round: median and range of interleaved rounds.",
        f"- {made_with(record['machine'] for record in records)}",
    ]
    if timed:
        machines = [record["timed_on"] for record in timed]
        images = alternatives(record["timed_images"] for record in timed)
        rounds = alternatives(len(record["seconds"]["own"]) for record in timed)
        notes.append(f"- speed: {images} images, {rounds} rounds, {threads_of(machines)}; {made_with(machines)}")
    return notes


def prumerge_table(file: Path) -> str:
    """What is left of an image's tokens, and what the probe reads in them; beside all of them."""
    if not file.is_file():
        return "Not measured yet."
    record = json.loads(file.read_text(encoding="utf-8"))
    rows, times = record["rows"], _milliseconds(record)
    every = _digits(rows["all"]["right"])
    table = [["tokens kept", "mean", "least to most", "accuracy", "points against all [95 %]", "ms an image"]]
    for name, row in rows.items():
        by_image = 100 * (_digits(row["right"]) - every)
        change = "" if name == "all" else with_interval(by_image, interval(by_image))
        counts = f"{row['least']}-{row['most']}"
        figures = [f"{row['tokens']:.1f}", counts, f"{row['accuracy']:.3f}"]
        table.append([name, *figures, change, times.get(name, "-")])
    return "\n".join([*render(table, "markdown"), "", *_prumerge_conditions(record, times)])


def _milliseconds(record: Record) -> dict[str, str]:
    """Milliseconds for an image, by row: the median of the rounds, with their range if the record has each round."""
    images, rounds = record.get("timed_images"), record.get("seconds", {})
    told = {name: f"{taken:.2f}" for name, taken in record.get("milliseconds", {}).items()}
    for name, seconds in rounds.items():
        own = Spread.of([1000 * taken / images for taken in seconds])
        told[name] = f"{own.median:.2f} ({own.low:.2f}-{own.high:.2f})"
    return told


def _prumerge_conditions(record: Record, times: dict[str, str]) -> list[str]:
    config = record["config"]
    notes = [
        f"- {record['images']} images; logistic regression (C = {config['probe']['strength']:g}), "
        f"{config['probe']['folds']}-fold, on the mean of the tokens that are left.",
        f"- {made_with([record['machine']])}",
    ]
    if times:
        on, images = record["timed_on"], record.get("timed_images", config["timed"]["images"])
        rounds = len(record["seconds"]["tower"]) if "seconds" in record else config["timed"]["rounds"]
        notes.append(
            f"- ms: of the reduction behind the tower, which takes {times['tower']} ms an image; median of {rounds} "
            f"rounds over {images} images, {threads_of([on])}; {made_with([on])}"
        )
    return notes


def _digits(text: str) -> np.ndarray:
    return np.array(list(text), dtype=float)
