"""The table of the methods, from the rows of `tokensieve.methods`."""

from __future__ import annotations

from dataclasses import fields

from tokensieve.methods import METHODS
from tokensieve.reduce.cell import Cell
from tokensieve_bench.places import ROOT

PAGES = ROOT / "docs" / "methods"


def methods_table() -> str:
    """A row a method: its cells by name, with the settings that are not the cell's defaults."""
    head = ("method", "score", "select", "schedule", "where tokens leave", "combined", "source")
    rows = [head, ("---",) * len(head)]
    for name, method in METHODS.items():
        prune, defer = method.settings.prune, method.settings.defer
        cells = ("-",) * 4
        if prune is not None:
            merged = "" if prune.merge is None else f", merged: {_cell(prune.merge)}"
            where = _cell(prune.site) + merged
            cells = (_cell(prune.score), _cell(prune.select), _cell(prune.schedule, whole=True), where)
        deferred = "" if defer is None else f"; defers {100 * defer.share:g} % of the documents to all their tokens"
        combine = "-" if method.settings.combine is None else _cell(method.settings.combine)
        named = f"[`{name}`]({name}.md)" if (PAGES / f"{name}.md").is_file() else f"`{name}`"
        rows.append((named, *cells, combine, method.source + deferred))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(cell: Cell, whole: bool = False) -> str:
    """Name and settings, such as "top-share (min_tokens=24)": those that differ from the defaults, or all."""
    settings = {field.name: (getattr(cell, field.name), field.default) for field in fields(cell)}  # type: ignore[arg-type]
    told = [f"{name}={value}" for name, (value, default) in settings.items() if whole or value != default]
    return cell.name + (f" ({', '.join(told)})" if told else "")
