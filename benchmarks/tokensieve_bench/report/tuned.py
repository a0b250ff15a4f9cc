"""results/tune/*.json -> what `tokensieve tune` tried and chose, a section a set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokensieve_bench.record_files import Record
from tokensieve_bench.records import Results
from tokensieve_bench.table import made_with, render, threads_of

MOST_MINUTES = 10
"""The bar."""
_HEAD = ["", "documents/s", "times dense", "score", "points [95 %]", "answered by"]


def tuned_tables(results: Results) -> str:
    """A section a set: what no other candidate beats, then the thresholds of the chosen one."""
    sections = [_section(record) for record in results.read_all("tune/*").values()]
    return "\n\n".join(sections) or "Nothing is measured yet."


def _section(record: Record) -> str:
    tried = [(own["name"], own) for own in record["table"]]
    plan = [("chosen" if number == record["point"] else "", own) for number, own in enumerate(record["frontier"])]
    return "\n".join(
        [
            f"## {record['data']}",
            *render([_HEAD, *(_row(name, own) for name, own in tried)], "markdown"),
            "",
            f"Thresholds of `{record['chosen']}`, along which `--speed` moves:",
            "",
            *render([_HEAD, *(_row(name, own) for name, own in plan)], "markdown"),
            "",
            *_conditions(record),
        ]
    )


def _row(name: str, point: Mapping[str, Any]) -> list[str]:
    low, high = point["interval"]
    return [
        name,
        f"{point['documents_per_second']:.1f}",
        f"{point['speed']:.2f}",
        f"{point['score']:.4f}",
        f"{100 * point['difference']:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]",
        ", ".join(f"{stage} {share:.0%}" for stage, share in point["shares"].items()),
    ]


def _conditions(record: Record) -> list[str]:
    """What was asked for, and what the figures hold for."""
    measured, minutes, documents = record["measured"], record["seconds"] / 60, record["documents"]
    said = ("not met: the nearest is taken", "met")[record["met"]]
    bar = ("missed", "met")[minutes <= MOST_MINUTES]
    return [
        f"- asked for: {measured['goal']}; {said}",
        f"- tried: {', '.join(record['candidates'])}",
        f"- {minutes:.1f} minutes (bar {MOST_MINUTES}: {bar}); {documents['train']} training and "
        f"{documents['validation']} validation documents, seed {record['seed']}",
        f"- {threads_of([measured])}; {made_with([record['machine'] | {'torch': measured['torch']}], 'torch')}",
    ]
