"""The tables of results/scale: a killed worker, memory, and several workers against one."""

from __future__ import annotations

from statistics import median
from typing import Any

from tokensieve_bench.records import Results
from tokensieve_bench.table import Form, made_with, render, threads_of

_MIB = 1 << 20


def scale_tables(results: Results) -> str:
    """The records that there are: one worker killed, then speed."""
    parts = []
    if results.has("scale/killed"):
        record = results.read("scale/killed")
        parts.append("\n".join(["## One worker killed", "", *killed_table(record, "markdown")]))
    if results.has("scale/speed"):
        record = results.read("scale/speed")
        parts.append("\n".join(["## Speed", "", *speed_table(record, "markdown")]))
    return "\n\n".join(parts)


def killed_table(record: dict[str, Any], form: Form = "plain") -> list[str]:
    """What became of the rows, then memory."""
    killed, second, other = record["killed"], record["second_start"], record["other_model"]
    config = record["config"]
    rows = [
        ["what", "found"],
        ["rows", f"{config['rows']:,}"],
        ["records", f"{killed['records']:,}"],
        ["rows missing, rows twice", f"{killed['rows_missing']}, {killed['rows_twice']}"],
        ["same bytes as one process", _yes(killed["same_bytes_as_one_process"])],
        ["parts complete at the kill, and at the end", f"{killed['parts_before']}, {killed['parts']}"],
        ["processes of workers, the restarted one included", str(killed["worker_processes"])],
        [
            "second start: files touched, workers started",
            f"{_yes(second['files_touched'])}, {second['workers_started']}",
        ],
        ["another model: exit status, files touched", f"{other['exit_status']}, {_yes(other['files_touched'])}"],
    ]
    memory = [["peak, MiB", "command", "largest worker", "all processes of the cluster"]]
    for name, count in (("few rows", config["few_rows"]), ("all rows", config["rows"])):
        peaks = record["peak_bytes"][name]
        sizes = [f"{peaks[of] / _MIB:.0f}" for of in ("driver", "worker", "together")]
        memory.append([f"{count:,} rows, {config['workers']} workers", *sizes])
    alone = f"{record['peak_bytes']['one process']['driver'] / _MIB:.0f}"
    memory.append([f"{config['rows']:,} rows, one process without Ray", alone, "", alone])
    return [*render(rows, form), "", *render(memory, form), "", f"{config['data']}, words; {_machine(record)}"]


def speed_table(record: dict[str, Any], form: Form = "plain") -> list[str]:
    """Documents per second by the number of workers, and the ratio of paired rounds."""
    config, rounds = record["config"], record["rounds"]
    several = str(config["workers"])
    rows = [["workers", "documents/s, median", "lowest to highest", "command, s"]]
    for count in ("1", several):
        found = sorted(_speed(own[count]) for own in rounds)
        seconds = median(own[count]["command_seconds"] for own in rounds)
        rows.append([count, f"{median(found):.0f}", f"{found[0]:.0f} to {found[-1]:.0f}", f"{seconds:.0f}"])
    ratios = sorted(_speed(own[several]) / _speed(own["1"]) for own in rounds)
    ratio = f"{several} workers, times one: {median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
    facts = f"{config['data']}, {config['speed_rows']:,} rows, {record['model']}; {_machine(record)}"
    notes = ["", record["note"]] if "note" in record else []
    return [*render(rows, form), "", ratio, "", facts, *notes]


def _speed(own: dict[str, Any]) -> float:
    return float(own["documents"] / own["seconds"])


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _machine(record: dict[str, Any]) -> str:
    return f"{threads_of([record['machine']])} a worker; {made_with([record['machine']])}"
