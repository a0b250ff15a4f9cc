"""Records as tables: a row for each contender in each cell, the bars, and the conditions that the figures hold for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Literal

from tokensieve_bench.figures import (
    Cell,
    Record,
    Spread,
    best_cells,
    best_rival,
    documents_per_second,
    efficiency,
    has_seconds,
    latency,
    memory_ratio,
    our_dense,
    peak_bytes,
    pruning_efficiency,
    reduction,
    round_seconds,
    speedup,
    verdicts,
    working_memory_ratio,
)

Form = Literal["plain", "markdown"]
Rows = list[list[str]]
RUNTIMES = ("torch", "transformers", "onnxruntime", "openvino")


def figure_table(record: Record, form: Form = "plain") -> list[str]:
    """Every contender in every cell, the baseline first; medians of the rounds, [lowest to highest] of ratios."""
    contenders = sorted(record["contenders"], key=lambda name: name != record["baseline"])
    rows = [
        [*_place(record, cell).values(), contender, *_cells(record, cell, contender).values()]
        for cell in record["cells"]
        for contender in contenders
    ]
    first = record["cells"][0]
    return render([[*_place(record, first), "contender", *_cells(record, first, contenders[0])], *rows], form)


def _place(record: Record, cell: Cell) -> dict[str, str]:
    """Column -> what tells the cell from others; from file to file every contender has batches of its own."""
    batch = {} if record["config"]["measure"] == "end_to_end" else {"batch": str(cell["batch"])}
    return batch | {"tokens": "own" if cell["length"] is None else str(cell["length"])}


def _cells(record: Record, cell: Cell, contender: str) -> dict[str, str]:
    """Column -> cell of a row."""
    baseline, shown = record["baseline"], {}
    if "call_seconds" in cell:
        for percentile in (50, 95):
            shown[f"p{percentile}, ms"] = f"{1000 * latency(cell, contender, percentile):.1f}"
    elif "step_seconds" in cell:
        shown["s a step"] = f"{median(round_seconds(cell, contender)):.3g}"
    elif has_seconds(cell):
        shown["documents/s"] = f"{documents_per_second(cell, contender).median:.4g}"
    if has_seconds(cell):
        shown["speed-up"] = _times(speedup(cell, contender, baseline)) if contender != baseline else "1"
    shown |= _flops_cells(record, cell, contender)
    if (peak := peak_bytes(cell, contender)) is not None:
        shown["peak, MB"] = f"{peak.median / 1e6:.0f}"
        for column, ratio in (("share of memory", memory_ratio), ("above the loaded model", working_memory_ratio)):
            shown[column] = _times(ratio(cell, contender, baseline)) if contender != baseline else "1"
    return shown


def _flops_cells(record: Record, cell: Cell, contender: str) -> dict[str, str]:
    """Columns of FLOPs, and of what becomes of the FLOPs that are saved; none if the cell has no FLOPs."""
    if "flops" not in cell:
        return {}
    fewer, real = reduction(cell, contender), efficiency(record, cell, contender)
    shown = {"FLOPs, times fewer": "" if fewer is None else f"{fewer:.2f}{_mark(cell, contender)}"}
    if has_seconds(cell):
        shown["efficiency"] = "" if real is None else f"{real.median:.2f}"
        if our_dense(record) is not None:
            alone = pruning_efficiency(record, cell, contender)
            shown["of pruning alone"] = "" if alone is None else f"{alone.median:.2f}"
    return shown


def _times(spread: Spread) -> str:
    return f"{spread.median:.2f}x [{spread.low:.2f} to {spread.high:.2f}]"


def _mark(cell: Cell, contender: str) -> str:
    return " (measured)" if cell["flops"][contender]["basis"] == "measured" else ""


def best_table(record: Record, form: Form = "plain") -> list[str]:
    """Every contender at its fastest batch size, beside the fastest rival; nothing unless a bar asks for it."""
    if not any(bar.get("batch") == "best" for bar in record["config"].get("bars", [])):
        return []
    rows = [["tokens", "contender", "best batch", "documents/s", "speed-up", "times the fastest rival"]]
    for cell in best_cells(record):
        rival = best_rival(record, cell)
        for name in record["contenders"]:
            faster = "" if rival is None else f"{speedup(cell, name, rival).median:.2f}x"
            rows.append(
                [
                    "own" if cell["length"] is None else str(cell["length"]),
                    name,
                    str(cell["batches"][name]),
                    f"{documents_per_second(cell, name).median:.4g}",
                    f"{speedup(cell, name, record['baseline']).median:.2f}x",
                    "1 (the fastest rival)" if name == rival else faster,
                ]
            )
    return render(rows, form)


def bars_table(records: Iterable[Record], form: Form = "plain") -> list[str]:
    """Every bar of these records with its figure; nothing where there are no bars."""
    rows = []
    for record in records:
        for verdict in verdicts(record):
            bar, cell = verdict.bar, verdict.cell
            limit = f"at least {bar['at_least']:g}x" if bar.get("at_least") else f"at most {bar['at_most']:g}x"
            against = bar.get("against") or record["baseline"]
            where = ", ".join(f"{name} {value}" for name, value in _place(record, cell).items())
            rows.append(
                [
                    bar.get("what") or f"{bar['contender']}, {bar['metric']}",
                    f"{limit} of {against}",
                    "" if verdict.figure is None else _times(verdict.figure),
                    verdict.told,
                    f"{record['name']}: {where}",
                ]
            )
    return render([["what", "bar", "measured", "", "where"], *rows], form) if rows else []


def conditions(record: Record) -> list[str]:
    """The conditions that the figures hold for, a line each."""
    config, machine = record["config"], record["machine"]
    versions = [f"{name} {machine[name]}" for name in RUNTIMES if name in machine]
    counts = sorted({cell["documents"] for cell in record["cells"]})
    data = config.get("data")
    source = f"{data['set']} ({data.get('split', 'test')}, the first)" if data else "random ids"
    mean = record["cells"][0]["mean_length"]
    lines = [
        f"{config['backbone']}, {config['measure']}; {alternatives(counts)} documents a cell, {source}"
        + (f", {mean:.0f} tokens on average, {data['max_length']} at most" if data else ""),
        f"{record['rounds']} interleaved rounds, medians; ratios are of the same round, to {record['baseline']!r}",
        f"{machine['threads']} threads for all, {machine['cores']} cores of {_processor(machine)}; "
        f"{', '.join(versions)}, Python {machine['python']}; commit {short_commit(machine['commit'])}",
    ]
    if any(bar.get("batch") == "best" for bar in config.get("bars", ())):
        lines.append("batch best: where batch sizes differ, rounds of the same number ran at different times")
    if training := config.get("training"):
        lines.append(
            f"AdamW, dropout {training.get('dropout', 0.1)}, attention dropout {training['attention_dropout']}; peak "
            "memory is that of a fresh process less what its imports took"
        )
    return lines


def _processor(machine: Mapping[str, Any]) -> str:
    vectors = machine.get("torch_vectors")
    return f"{machine['processor']} with {vectors}" if vectors else str(machine["processor"])


def short_commit(commit: str | None) -> str:
    """The first digits of a commit, with the + that marks changed sources; "unknown" where there was no checkout."""
    return "unknown" if commit is None else commit.removesuffix("+")[:10] + "+" * commit.endswith("+")


def made_with(machines: Iterable[Mapping[str, Any]], *packages: str) -> str:
    """Commits, processors and versions of packages that all rows of a table were made with, each once.

    Args:
        machines: of every record that the table is made of.
        packages: whose versions are told, if the records have them.
    """
    known = list(machines)
    commits = sorted({short_commit(own.get("commit")) for own in known})
    parts = [f"commit{'s' * (len(commits) > 1)} {', '.join(commits)}", ", ".join(sorted(set(map(_processor, known))))]
    for package in packages:
        if versions := sorted({own[package] for own in known if package in own}):
            parts.append(f"{'Python' if package == 'python' else package} {', '.join(versions)}")
    return "; ".join(parts)


def threads_of(machines: Iterable[Mapping[str, Any]]) -> str:
    """How many threads some measurements had, such as "2 threads"."""
    counts = sorted({own["threads"] for own in machines})
    return f"{alternatives(counts)} thread{'s' * (counts != [1])}"


_WIDEST = 4
"""Contenders that a note on the spread of rounds names."""


def rounds_apart(ratios: Mapping[str, Iterable[Spread]]) -> str:
    """A note on the spread of rounds: of the few contenders where it is widest, in the set where it is largest.

    Args:
        ratios: by contender, those of the rounds of each set.
    """
    spreads = {name: 100 * max(own.apart for own in found) for name, found in ratios.items()}
    widest = set(sorted(spreads, key=spreads.__getitem__, reverse=True)[:_WIDEST])
    told = [f"`{name}` {spread:.0f} %" for name, spread in spreads.items() if name in widest]
    others = max((spread for name, spread in spreads.items() if name not in widest), default=None)
    rest = "" if others is None else f"; all others at most {others:.0f} %"
    return (
        "Spread of the rounds (highest less lowest ratio, as a share of the median), largest of the sets: "
        f"{', '.join(told)}{rest}"
    )


def alternatives(values: Iterable[object]) -> str:
    """Every value once, with "or" between them."""
    return " or ".join(dict.fromkeys(map(str, values)))


def sections(record: Record) -> list[str]:
    """Bars, tables and conditions in Markdown."""
    tables = [bars_table([record], "markdown"), best_table(record, "markdown"), figure_table(record, "markdown")]
    notes = [f"- {line}" for line in conditions(record)]
    return [*(line for table in tables if table for line in (*table, "")), *notes]


def render(rows: Rows, form: Form) -> list[str]:
    """Rows, the head first, as lines of Markdown or in columns."""
    if form == "markdown":
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        return [lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(_padded(row, widths)).rstrip() for row in rows]


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[Any]:
    return [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
