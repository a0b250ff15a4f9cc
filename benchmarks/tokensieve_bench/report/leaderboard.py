"""The records of results/methods -> the comparison of the methods: all sets together, and a table a set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from tokensieve.methods import METHODS
from tokensieve_bench.leaderboard import PUBLISHED
from tokensieve_bench.places import METHOD_CONFIGS
from tokensieve_bench.report.accuracy import interval, with_interval
from tokensieve_bench.table import made_with, render, threads_of

LEFT_OUT = json.loads((METHOD_CONFIGS / "leaderboard.json").read_text(encoding="utf-8"))["left_out"]

Record = dict[str, Any]
Rows = dict[tuple[str, str], dict[str, Record]]
"""Records by row and share, then by data set."""
_HEAD = ["method", "FLOPs of dense", "as it starts, points [95 %]", "after one epoch, points [95 %]", "speed"]
_STAGES = {"fitted": "as it starts", "trained": "after one more epoch"}


def read_rows(folder: Path) -> Rows:
    """All records below a folder, in the order of METHODS; rows that are not in it stand last.

    Rows that started from other weights than their set's dense record are left out: they cannot be compared with it.
    """
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/*.json"))]
    started = {record["data"]: record.get("dense_digest") for record in records if record["row"] == "dense"}
    records = [record for record in records if record.get("dense_digest") == started.get(record["data"])]
    place = {row: number for number, row in enumerate(METHODS)}
    records.sort(key=lambda record: (_group(record), place.get(record["row"], len(place)), record["row"]))
    rows: Rows = {}
    for record in records:
        rows.setdefault((record["row"], record["share"]), {})[record["data"]] = record
    return rows


def leaderboard(folder: Path) -> str:
    """One row a method and share, over the documents of all sets that have both."""
    rows = read_rows(folder)
    dense = rows.get(("dense", PUBLISHED), {})
    if not dense:
        return "Not measured yet."
    table = [_HEAD]
    for (row, share), records in rows.items():
        sets = sorted(records.keys() & dense.keys())
        if row != "dense" and sets:
            table.append(_cells(row, share, [records[name] for name in sets], [dense[name] for name in sets]))
    return "\n".join([*render(table, "markdown"), "", *_conditions(rows, dense), *_missing(rows)])


def set_tables(folder: Path) -> str:
    """The same, a section a set."""
    rows = read_rows(folder)
    dense = rows.get(("dense", PUBLISHED), {})
    return "\n\n".join("\n".join(_section(name, rows, dense[name])) for name in sorted(dense)) or "Not measured yet."


def _section(name: str, rows: Rows, dense: Record) -> Iterator[str]:
    scores = ", ".join(f"{dense[stage]['accuracy']:.4f} {said}" for stage, said in _STAGES.items())
    yield f"## {name}"
    yield f"`dense`: {scores}."
    yield ""
    table = [_HEAD]
    for (row, share), records in rows.items():
        if row != "dense" and name in records:
            table.append(_cells(row, share, [records[name]], [dense]))
    yield from render(table, "markdown")


def _cells(row: str, share: str, records: list[Record], dense: list[Record]) -> list[str]:
    shown = f"`{row}`" if row in METHODS else row
    flops = fmean(record["trained"]["flops"] for record in records)
    return [
        shown + (" *" if share == PUBLISHED else ""),
        f"{flops:.2f}",
        *(_change(stage, records, dense) for stage in _STAGES),
        _speed(records),
    ]


def _change(stage: str, records: list[Record], dense: list[Record]) -> str:
    """Points of accuracy against dense, on the same documents."""
    if any(stage not in record for record in records):
        return "-"
    own, base = (np.concatenate([_digits(record[stage]["right"]) for record in side]) for side in (records, dense))
    by_document = 100 * (own - base)
    return with_interval(by_document, interval(by_document))


def _digits(text: str) -> np.ndarray:
    return np.array(list(text), dtype=float)


def _speed(records: list[Record]) -> str:
    """Median and range of the rounds' ratios, over all sets."""
    timed = [record["seconds"] for record in records if record.get("seconds")]
    if len(timed) < len(records):
        return ""
    ratios = [whole / part for seconds in timed for whole, part in zip(seconds["dense"], seconds["own"], strict=True)]
    return f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def _group(record: Record) -> int:
    """Rows at half of the FLOPs, then those at fewer, then those that were measured as published."""
    return 10**6 if record["share"] == PUBLISHED else -round(1000 * float(record["share"]))


def _missing(rows: Rows) -> list[str]:
    """Which rows of METHODS have no record yet."""
    absent = [row for row in METHODS if row not in LEFT_OUT and not any(row == found for found, _ in rows)]
    return [f"- Not measured yet: {', '.join(f'`{row}`' for row in absent)}."] if absent else []


def _conditions(rows: Rows, dense: dict[str, Record]) -> list[str]:
    """What the figures hold for."""
    counts = ", ".join(f"{name} {record['documents']['test']}" for name, record in sorted(dense.items()))
    recipe = next(iter(dense.values()))["recipe"]
    records = [record for by_set in rows.values() for record in by_set.values()]
    timed = [record["timed_on"] for record in records if record.get("seconds")]
    return [
        f"- test documents: {counts}; {recipe['max_length']} tokens, seed {recipe['seed']}. All rows start from one "
        "dense classifier of each set. The change is against `dense`, on the same documents, by a bootstrap.",
        "- As it starts: scores and the head's last layer are fitted in closed form, and nothing is trained. After one "
        f"epoch: all weights are trained at {recipe['learning_rate']:g}; `dense` gets the same epoch.",
        "- FLOPs are those of the test documents, by the tokens that each kept. A row with * is measured as it is "
        "published, because it cannot reach a share of .5 or .3, or has no dial.",
        "- Speed is text to label, as a multiple of `dense`, in interleaved rounds: median and range.",
        f"- {made_with(record['machine'] for record in records)}",
        *([f"- speed: {threads_of(timed)}; {made_with(timed)}"] if timed else []),
    ]
