"""Configs and records made by hand."""

from typing import Any

CONTENDERS: dict[str, dict[str, Any]] = {
    "sdpa": {"kind": "transformers"},
    "unsorted": {"kind": "transformers", "order": "given"},
    "ours": {"kind": "tokensieve", "preset": "paper-pfc-7", "settings": {"site": "hidden"}},
}


def config(**changes: Any) -> dict[str, Any]:
    """A config that is read without complaint; a key whose value is ... is left out."""
    record: dict[str, Any] = {
        "backbone": "tiny",
        "measure": "throughput",
        "lengths": [8],
        "batches": [2],
        "documents": 4,
        "baseline": "sdpa",
        "contenders": CONTENDERS,
    }
    return {key: value for key, value in (record | changes).items() if value is not ...}


def record(cells: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """What a run of `config(**changes)` leaves."""
    given = config(**changes)
    machine = {"threads": 2, "cores": 2, "processor": "a chip", "torch": "2", "python": "3", "commit": "abc"}
    return {
        "name": "by-hand",
        "config": given,
        "rounds": 3,
        "baseline": given["baseline"],
        "machine": machine,
        "contenders": {name: {} for name in given["contenders"]},
        "cells": cells,
    }


def cell(length: int | None = 8, batch: int = 2, **figures: Any) -> dict[str, Any]:
    """A cell with FLOPs of which `ours` does half."""
    flops = {"own": 100.0, "dense": 100.0, "basis": "exact"}
    return {
        "batch": batch,
        "length": length,
        "documents": 4,
        "mean_length": 8.0,
        "flops": {"sdpa": flops, "unsorted": flops, "ours": flops | {"own": 50.0}},
        **figures,
    }
