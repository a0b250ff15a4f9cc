"""The table of the methods, from the rows of `tokensieve.methods`."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from tokensieve.methods import METHODS
from tokensieve.reduce.cell import Cell


def methods_table() -> str:
    """A row a method: its cells by name, with the settings that are not the cell's defaults."""
    head = ("method", "score", "select", "schedule", "where tokens leave", "combined", "source")
    rows = [head, ("---",) * len(head)]
    for name, method in METHODS.items():
        prune, defer = method.settings.prune, method.settings.defer
        cells = ("-",) * 4
        if prune is not None:
            merged = "" if prune.merge is None else f", merged into the {_cell(prune.merge)}"
            cells = (_cell(prune.score), _cell(prune.select), _cell(prune.schedule), _cell(prune.site) + merged)
        deferred = "" if defer is None else f"; defers {100 * defer.share:g} % of the documents to all their tokens"
        combine = "-" if method.settings.combine is None else _cell(method.settings.combine)
        rows.append((f"`{name}`", *cells, combine, method.source + deferred))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(cell: Cell) -> str:
    """Name and settings, such as "top-share (min_tokens=24)"."""
    changed = [f"{field.name}={_value(cell, field)}" for field in fields(cell) if _value(cell, field) != field.default]  # type: ignore[arg-type]
    return cell.name + (f" ({', '.join(changed)})" if changed else "")


def _value(cell: Cell, field: Any) -> Any:
    assert field.default is not MISSING
    return getattr(cell, field.name)
