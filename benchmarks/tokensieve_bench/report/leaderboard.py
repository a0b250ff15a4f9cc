"""The records of results/methods -> the comparison of the methods: all sets together, and a table a set."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from tokensieve.methods import METHODS
from tokensieve_bench.leaderboard import DENSE, PUBLISHED
from tokensieve_bench.places import METHOD_CONFIGS
from tokensieve_bench.report.accuracy import interval, with_interval
from tokensieve_bench.table import made_with, render, threads_of

LEFT_OUT = json.loads((METHOD_CONFIGS / "leaderboard.json").read_text(encoding="utf-8"))["left_out"]

Record = dict[str, Any]
Rows = dict[tuple[str, str], dict[str, Record]]
"""Records by row and share, then by data set."""
Starts = dict[tuple[str, str | None], Record]
"""Records of the dense classifiers, by data set and by the digest of the weights that the rows started from."""
_HEAD = ["method", "FLOPs of dense", "as it starts, points [95 %]", "after one epoch, points [95 %]", "speed"]
_STAGES = {"fitted": "as it starts", "trained": "after one more epoch"}


def read_rows(folder: Path) -> tuple[Rows, Starts]:
    """All records below a folder, in the order of METHODS; rows that are not in it stand last.

    Rows are left out if their dense classifier has no record: nothing else can be compared with them. So is a dense
    classifier that no row started from.
    """
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/*.json"))]
    place = {row: number for number, row in enumerate(METHODS)}
    records.sort(key=lambda record: (_group(record), place.get(record["row"], len(place)), record["row"]))
    starts = {_start(record): record for record in records if record["row"] == DENSE}
    rows: Rows = {}
    for record in records:
        if record["row"] != DENSE and _start(record) in starts:
            rows.setdefault((record["row"], record["share"]), {})[record["data"]] = record
    used = {_start(record) for by_set in rows.values() for record in by_set.values()}
    return rows, {start: record for start, record in starts.items() if start in used}


def _start(record: Record) -> tuple[str, str | None]:
    return record["data"], record.get("dense_digest")


def leaderboard(folder: Path) -> str:
    """One row a method and share, over the documents of all sets that have it."""
    rows, starts = read_rows(folder)
    if not starts:
        return "Not measured yet."
    table = [_HEAD]
    for (row, share), by_set in rows.items():
        records = [by_set[name] for name in sorted(by_set)]
        table.append(_cells(row, share, records, [starts[_start(record)] for record in records]))
    return "\n".join([*render(table, "markdown"), "", *_conditions(rows, starts), *_missing(rows)])


def set_tables(folder: Path) -> str:
    """The same, a section a set."""
    rows, starts = read_rows(folder)
    sets = sorted({name for name, _ in starts})
    return "\n\n".join("\n".join(_section(name, rows, starts)) for name in sets) or "Not measured yet."


def _section(name: str, rows: Rows, starts: Starts) -> Iterator[str]:
    yield f"## {name}"
    own = {digest: record for (data, digest), record in starts.items() if data == name}
    marks = {digest: f" ({number})" if len(own) > 1 else "" for number, digest in enumerate(own, 1)}
    for digest, dense in own.items():
        scores = ", ".join(f"{dense[stage]['accuracy']:.4f} {said}" for stage, said in _STAGES.items())
        yield f"`{DENSE}`{marks[digest]}: {scores}."
    if len(own) > 1:
        yield "The number behind a row tells which of them it started from."
    yield ""
    table = [_HEAD]
    for (row, share), records in rows.items():
        if name in records:
            cells = _cells(row, share, [records[name]], [starts[_start(records[name])]])
            table.append([cells[0] + marks[records[name].get("dense_digest")], *cells[1:]])
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
    """Which rows of METHODS are not in the table."""
    absent = [f"`{row}`" for row in METHODS if row not in LEFT_OUT and not any(row == found for found, _ in rows)]
    told = "Not measured yet, or without a record of their dense classifier"
    return [f"- {told}: {', '.join(absent)}."] if absent else []


def _conditions(rows: Rows, starts: Starts) -> list[str]:
    """The conditions that the figures hold for."""
    dense, sets = list(starts.values()), {name: record for (name, _), record in starts.items()}
    counts = ", ".join(f"{name} {record['documents']['test']}" for name, record in sorted(sets.items()))
    recipe = dense[0]["recipe"]
    records = [*dense, *(record for by_set in rows.values() for record in by_set.values())]
    timed = [record["timed_on"] for record in records if record.get("seconds")]
    started = "All rows start from one dense classifier of each set."
    if len(starts) > len(sets):
        counts_of = Counter(name for name, _ in starts)
        told = ", ".join(f"{counts_of[name]} for {name}" for name in sorted(sets))
        started = (
            f"The dense classifier was trained anew ({told}); a row is compared with the one that it started from."
        )
    return [
        f"- test documents: {counts}; {recipe['max_length']} tokens, seed {recipe['seed']}. {started} The change is "
        f"against `{DENSE}`, on the same documents, by a bootstrap.",
        "- As it starts: scores and the head's last layer are fitted in closed form, and nothing is trained. After one "
        f"epoch: all weights are trained at {recipe['learning_rate']:g}; `{DENSE}` gets the same epoch.",
        "- FLOPs are those of the test documents, by the tokens that each kept. A row with * is measured as it is "
        "published, because it cannot reach a share of .5 or .3, or has no dial.",
        f"- Speed is text to label, as a multiple of `{DENSE}`, in interleaved rounds: median and range.",
        f"- {made_with(record['machine'] for record in records)}",
        *([f"- speed: {threads_of(timed)}; {made_with(timed)}"] if timed else []),
    ]
