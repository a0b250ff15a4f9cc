"""Measuring in this process: throughput, latency, and the way from file to file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tokensieve.backbones import compress
from tokensieve.config import ReductionConfig
from tokensieve.errors import TokensieveError
from tokensieve_bench.backbone import Backbone
from tokensieve_bench.config import BenchConfig
from tokensieve_bench.contenders import Contender, Setting
from tokensieve_bench.rounds import Report, run_interleaved, seconds
from tokensieve_bench.work import Batch, Work

TOLERANCE = 1e-3
"""Largest difference of logits between the backbone in transformers and the same in other hands, float32."""


def check_parity(backbone: Backbone, work: Work) -> float:
    """Largest difference between transformers' logits and those of our dense model, on the first documents.

    Raises:
        TokensieveError: it is above the tolerance: what would be timed is not the same function.
    """
    ours = compress(backbone.model, ReductionConfig.preset("dense"))
    batch = work.batches("sorted")[0]
    few = Batch(batch.input_ids[:2], batch.attention_mask[:2], batch.documents[:2])
    return compare(
        backbone,
        few,
        "our dense model",
        lambda: ours(input_ids=few.input_ids, attention_mask=few.attention_mask).logits,
    )


def compare(backbone: Backbone, batch: Batch, name: str, logits: Callable[[], torch.Tensor]) -> float:
    """Largest difference between transformers' logits of a batch and others.

    Raises:
        TokensieveError: as `check_parity`.
    """
    with torch.inference_mode():
        wanted = backbone.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        difference = float((logits().float() - wanted).abs().max())
    if not difference <= TOLERANCE:
        raise TokensieveError(
            f"the logits of {name} differ from those of transformers by {difference:.2g}, more than {TOLERANCE:g}: "
            "nothing was timed, as it would not be the same function"
        )
    return difference


def throughput(config: BenchConfig, contenders: Mapping[str, Contender], work: Work, report: Report) -> dict[str, Any]:
    """Seconds of every round: of a pass over all documents."""
    found = run_interleaved(
        {name: partial(_passed, contender.calls(work)) for name, contender in contenders.items()}, config.rounds, report
    )
    return {"seconds": {name: [sum(calls) for calls in own] for name, own in found.items()}}


def latency(config: BenchConfig, contenders: Mapping[str, Contender], work: Work, report: Report) -> dict[str, Any]:
    """Seconds of every round and document."""
    return {
        "call_seconds": run_interleaved(
            {name: partial(_passed, contender.calls(work)) for name, contender in contenders.items()},
            config.rounds,
            report,
        )
    }


def _passed(calls: list[Callable[[], object]]) -> list[float]:
    return [seconds(call) for call in calls]


def end_to_end(config: BenchConfig, setting: Setting, report: Report) -> tuple[dict[str, Any], dict[str, Any]]:
    """Seconds of every round, from a file of documents to a file of labels, models loaded; and facts by contender."""
    source = setting.folder / "documents.jsonl"
    lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in setting.texts)
    source.write_text("".join(lines), encoding="utf-8")
    works, facts = {}, {}
    for number, (name, contender) in enumerate(config.contenders.items()):
        report(f"loading {name}")
        classify, facts[name] = contender.load_for_files(setting)
        works[name] = partial(_classified, classify, source, setting.folder / f"labels-{number}.jsonl")
    return {"seconds": run_interleaved(works, config.rounds, report)}, facts


def _classified(classify: Callable[[Path, Path], None], source: Path, target: Path) -> float:
    """Seconds of it.

    Raises:
        TokensieveError: the target has not a line for each document.
    """
    taken = seconds(lambda: classify(source, target))
    counts = [file.read_bytes().count(b"\n") for file in (source, target)]
    if counts[0] != counts[1]:
        raise TokensieveError(f"{counts[0]} documents went in, and {counts[1]} labels came out")
    return taken
