"""A benchmark from config to record."""

from __future__ import annotations

import dataclasses
import logging
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from tokensieve.runtime.part import json_with
from tokensieve_bench import measure
from tokensieve_bench.config import BenchConfig
from tokensieve_bench.contenders import Contender, Setting
from tokensieve_bench.contenders.onnx import Onnx
from tokensieve_bench.contenders.openvino import OpenVino
from tokensieve_bench.machine import load_average, machine
from tokensieve_bench.process import Request, ask, make_setting, thread_variables
from tokensieve_bench.rounds import Report, run_interleaved
from tokensieve_bench.work import Work

logger = logging.getLogger(__name__)

IS_RECORD = json_with("config", "machine", "cells")
"""Whether an opened file is a record of a benchmark."""


def run_bench(
    config: BenchConfig, record: dict[str, Any], name: str, *, data: Path | None, threads: int
) -> dict[str, Any]:
    """Measure what a config asks for.

    Args:
        config: perhaps with fewer contenders, or other rounds, than its record.
        record: what it was read from.
        name: of the benchmark.
        data: folder of data sets.
        threads: of torch, which has them already; of all others too.

    Returns:
        A record for JSON: "name", "config", "rounds", "contenders" (name -> facts), "baseline", "parity" (largest
        difference of logits between transformers and our dense model), "machine", and "cells", each with "batch",
        "length" (None: the documents' own), "documents", "mean_length", "flops" and raw figures of every contender.

    Raises:
        TokensieveError: whatever is wrong, before anything is timed if it can be known.
    """
    os.environ.update(thread_variables(threads))  # the tokenizers start theirs at their first batch
    busy = load_average()
    if busy is not None and busy > 0.5:
        logger.warning("the machine is busy (load %.1f): the timings will tell of its other work too", busy)
    result: dict[str, Any] = {
        "name": name,
        "config": record,
        "rounds": config.rounds,
        "baseline": config.baseline,
        "machine": machine(threads),
    }
    with tempfile.TemporaryDirectory(prefix="tokensieve-bench-") as folder:
        setting, works = make_setting(config, Path(folder), data, threads, alone=False)
        result["parity"] = measure.check_parity(setting.backbone, works[0])
        if config.measure == "end_to_end":
            figures, facts = measure.end_to_end(config, setting, logger.info)
            cells = [_cell(works[0]) | figures]
        elif config.measure in ("memory", "training"):
            cells, facts = _apart(config, record, setting, works, data)
        else:
            cells, facts = _together(config, setting, works)
    return result | {"contenders": facts, "cells": cells}


def _together(config: BenchConfig, setting: Setting, works: list[Work]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All contenders in this process."""
    contenders: dict[str, Contender] = {}
    facts: dict[str, Any] = {}
    for name, asked in config.contenders.items():
        logger.info("loading %s", name)
        contenders[name] = contender = asked.load(setting)
        facts[name] = dict(contender.facts)
        plain = (Onnx(order=contender.order), OpenVino(order=contender.order))
        if asked in plain:  # float32: the same function, or the export went wrong
            batch = works[0].batches("sorted")[0]
            facts[name]["parity"] = measure.compare(setting.backbone, batch, name, partial(contender.forward, batch))
    timing = measure.latency if config.measure == "latency" else measure.throughput
    cells = []
    for work in works:
        costs = {name: contender.cost(work) for name, contender in contenders.items()}
        flops = {name: None if cost is None else dataclasses.asdict(cost) for name, cost in costs.items()}
        cells.append(_cell(work) | {"flops": flops} | timing(config, contenders, work, _reporter(work)))
    return cells, facts


def _apart(
    config: BenchConfig, record: dict[str, Any], setting: Setting, works: list[Work], data: Path | None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Every contender and round in a process of its own."""
    for contender in config.contenders.values():
        contender.prepare(setting)
    setting.backbone.forget()  # the processes may need the memory
    where = None if data is None else str(data)
    cells: list[dict[str, Any]] = []
    facts: dict[str, Any] = {}
    for number, work in enumerate(works):
        asked = {
            name: partial(ask, Request(record, name, number, str(setting.folder), where, setting.threads))
            for name in config.contenders
        }
        found = run_interleaved(asked, config.rounds, _reporter(work), warm_up=False)
        facts |= {name: rounds[0]["facts"] for name, rounds in found.items()}
        cell = _cell(work) | {"flops": {name: rounds[0]["flops"] for name, rounds in found.items()}}
        for key in ("peak_bytes", "loaded_bytes"):
            cell[key] = {name: [one[key] for one in rounds] for name, rounds in found.items()}
        if config.training is not None:
            cell["step_seconds"] = {name: [one["seconds"] for one in rounds] for name, rounds in found.items()}
        cells.append(cell)
    return cells, facts


def _cell(work: Work) -> dict[str, Any]:
    documents = len(work.ids)
    return {
        "batch": work.batch,
        "length": work.length,
        "documents": documents,
        "mean_length": sum(work.lengths) / documents,
    }


def _reporter(work: Work) -> Report:
    where = f"batch {work.batch}, " + ("lengths of the data" if work.length is None else f"{work.length} tokens")
    return lambda what: logger.info("%s: %s", where, what)
