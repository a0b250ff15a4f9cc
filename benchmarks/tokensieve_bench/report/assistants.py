"""results/assistants/*.json -> tables: quantile pruning on few-shot tasks, those that the search did not see first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from tokensieve.tune.assistants import Row, choose
from tokensieve.tune.configurations import Configuration
from tokensieve_bench.records import Results
from tokensieve_bench.table import made_with, render

FAMILIES = {"short": "Intents of 8 to 12 words", "long": "Longer texts"}
TOLERANCES = (0.5, 1.0, 2.0, 3.0, 5.0)
"""Points, in the table of the search."""
FAR = 0.7
"""A share of the FLOPs: what it costs to come below is told, whatever it is."""

Record = Mapping[str, Any]


def assistants_tables(results: Results) -> str:
    """A section a family, of the records that are there: the tasks left out, then the search on all tasks."""
    found = results.read_all("assistants/*")
    sections = []
    for name, heading in FAMILIES.items():
        if name in found:
            parts = (_held_out(found[name]), _search(found[name]), _conditions(found[name]))
            sections += [f"## {heading}", *(line for part in parts for line in (*part, ""))]
    return "\n".join(sections[:-1])


def rows_of(record: Record, names: Sequence[str], shots: int) -> list[Row]:
    """The trials of a record on some tasks, beside the unpruned encoder, which comes first."""
    draws, dense, rows = record["config"]["draws"], record["trials"][0], []
    for trial in record["trials"]:
        right, before = trial["right"][str(shots)], dense["right"][str(shots)]
        changes = {name: 100 * (right[name] - before[name]) / draws / record["tasks"][name]["test"] for name in names}
        flops = fmean(trial["megaflops"][name] / dense["megaflops"][name] for name in names)
        own = trial["configuration"]
        rows.append(Row(None if own is None else Configuration(*own), changes, flops))
    return rows


def _held_out(record: Record) -> list[str]:
    """A row for each task that was left out, at each number of shots; means below."""
    if unfinished := _unfinished(record):
        return [unfinished]
    strict = record["config"]["tolerances"][0]
    rows = [["task left out, shots", "accuracy", "configuration", "points [95 %]", "FLOPs", "time, batch / alone"]]
    for entry in record["held_out"]:
        if entry["tolerance"] == strict:
            low, high = entry["interval"]
            rows.append(
                [
                    f"{entry['task']}, {entry['shots']}",
                    f"{entry['accuracy']:.3f}",
                    _named(entry["configuration"]),
                    f"{entry['change']:+.2f} [{low:+.2f}, {high:+.2f}]",
                    f"{entry['flops']:.2f}",
                    _timed(record, entry),
                ]
            )
    means = [f"- {line}" for tolerance in record["config"]["tolerances"] for line in _means(record, tolerance)]
    return [*render(rows, "markdown"), "", *means]


def _unfinished(record: Record) -> str:
    """What is missing, where the search was cut off; "" where it was not."""
    grid = record["config"]["grid"]
    whole = 1 + len(grid["min_lengths"]) * len(grid["quantiles"]) * len(grid["layers"]) * len(grid["merged"])
    if len(record["trials"]) >= whole:
        return ""
    return (
        f"The search is not finished: {len(record['trials']) - 1} of {whole - 1} configurations are tried, and none is "
        "applied to a task that was left out yet. What it sees so far:"
    )


def _means(record: Record, tolerance: float) -> list[str]:
    """What a tolerance gave on the tasks that were left out: those of a search, and whole data sets."""
    lines = []
    for whole, called in ((False, "tasks"), (True, "whole data sets")):
        own = [
            entry
            for entry in record["held_out"]
            if entry["tolerance"] == tolerance and (entry["task"] in record["config"]["whole"]) == whole
        ]
        if own:
            ratios = [ratio for entry in own if (ratio := ratio_of(record, entry, "batch")) is not None]
            spent = f", {median(ratios):.2f} of the time in batches (median)" if ratios else ""
            lines.append(
                f"{called} left out, {tolerance:g} points allowed: mean {fmean(entry['change'] for entry in own):+.2f} "
                f"points, worst {min(entry['change'] for entry in own):+.2f}; "
                f"{fmean(entry['flops'] for entry in own):.2f} of the FLOPs{spent}"
            )
    return lines


def _search(record: Record) -> list[str]:
    """The cheapest configuration by tolerance, chosen on all tasks together: what the search sees."""
    names = list(record["config"]["tasks"])
    rows = [["chosen on all tasks", "configuration", "points, mean", "worst task", "FLOPs"]]
    for shots in record["config"]["shots"]:
        tried = rows_of(record, names, shots)
        for tolerance in TOLERANCES:
            rows.append(_told(f"{shots} shots, {tolerance:g} points allowed", choose(tried, tolerance)))
        if far := [row for row in tried if row.flops <= FAR]:
            told = f"{shots} shots, {FAR:g} of the FLOPs or less"
            rows.append(_told(told, max(far, key=lambda row: row.change)))
    return render(rows, "markdown")


def _told(name: str, row: Row) -> list[str]:
    own = None if row.configuration is None else list(row.configuration)
    return [name, _named(own), f"{row.change:+.2f}", f"{min(row.changes.values()):+.2f}", f"{row.flops:.2f}"]


def _named(configuration: Sequence[Any] | None) -> str:
    return "unpruned" if configuration is None else str(Configuration(*configuration))


def ratio_of(record: Record, entry: Record, what: str) -> float | None:
    """The median share of the unpruned encoder's time; None: it was not timed. `what` is "batch" or "alone"."""
    if entry["configuration"] is None:
        return 1.0 if "timing" in record else None
    for own in record.get("timing", {}).get("tasks", {}).get(entry["task"], []):
        if own["configuration"] == entry["configuration"]:
            return float(median(own[what]))
    return None


def _timed(record: Record, entry: Record) -> str:
    ratios = [ratio_of(record, entry, what) for what in ("batch", "alone")]
    return " / ".join("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios)


def _conditions(record: Record) -> list[str]:
    """The conditions that the figures hold for."""
    config, timing = record["config"], record.get("timing")
    machines = [*record.get("machines", []), *([record["machine"]] if "machine" in record else [])]
    tried = [record["tasks"][name] for name in config["tasks"]]
    words = [f"{task['words']:.0f}" for task in tried]
    lines = [
        f"- {len(tried)} tasks of {min(task['labels'] for task in tried)} to {max(task['labels'] for task in tried)} "
        f"labels; {', '.join(words)} words on average; at most {config['max_length']} tokens. "
        f"{config['draws']} draws of the shots, {config['test']} test documents of each task in the search, up to "
        f"{config['held_test']} of a task left out, and {config['whole_test']} of a whole data set.",
        "- The interval is over the test documents, paired, with the draws averaged. FLOPs and time are shares of the "
        "unpruned encoder's.",
        f"- {made_with(machines) if machines else 'The record names no commit.'}",
    ]
    if machines and "machine" not in record and any("machine" not in trial for trial in record["trials"]):
        lines.append("- Some trials of the search name no commit.")
    if timing is None:
        return [*lines, "- Time was not measured yet."]
    return [
        *lines,
        f"- Time, from text to vector, {timing['threads']} threads, a load of {timing['machine']['load']}, "
        f"{made_with([timing['machine']])}: medians of {timing['rounds']} rounds by turns with the unpruned encoder; "
        f"{timing['texts']} texts in batches, {timing['alone']} one at a time.",
    ]
