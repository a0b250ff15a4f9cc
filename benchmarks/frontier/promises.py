"""Does a budget hold? What tuning promises from validation documents, and what test documents say.

    python benchmarks/frontier/promises.py benchmarks/configs/accuracy/cascade.json --data DATA

It writes results/frontier/promises.json; for another config results/frontier-<config>/. Nothing is trained or timed.
Points are composed of the logits in results/<config> and chosen as `tokensieve tune` does it: `dense` and the first
stage of `fast`, each alone and behind the bag of words, at all thresholds of tune; then the fastest one of which the
interval's lower end meets the budget. Seconds are those of results/frontier/<set>/speed.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from tokensieve.runtime.frontier import Point
from tokensieve.training.compare import compare
from tokensieve.tune.compose import Composition, StageAnswers, WordsSay, compositions
from tokensieve.tune.goal import Goal
from tokensieve.tune.search import expected_point
from tokensieve_bench.machine import machine
from tokensieve_bench.places import FIVE_SETS, RESULTS, frontier_of
from tokensieve_bench.record_files import write_whole
from tokensieve_bench.records import Results
from tokensieve_bench.runs import config_parser
from tokensieve_bench.trained import KIND, behind_words

BUDGETS = (0.0, 0.5, 1.0)
ENCODERS = {"dense": "dense", "pruned": "fast"}
"""Stages in results/cascade, and the contender whose speed each has; that of `fast` counts what it defers, too."""

Logits = Mapping[str, Mapping[str, Tensor]]
"""Calibrated logits [N, C] by stage and split."""


@dataclass(frozen=True)
class Candidate:
    """A composition of a set's stages.

    Attributes:
        encoder: the stage behind, or alone.
        made: its thresholds.
        point: what the validation documents promise.
    """

    encoder: str
    made: Composition
    point: Point


def main() -> None:
    """Every set and seed whose logits and speeds are there."""
    arguments = config_parser(sets=False).parse_args()
    config = json.loads(arguments.config.read_text(encoding="utf-8"))
    stem = arguments.config.stem
    rows = [row for name in config["sets"] for row in promises_of(Results(RESULTS), name, stem)]
    lines = ",\n  ".join(json.dumps(row) for row in rows)
    text = f'{{"machine": {json.dumps(machine(arguments.threads))}, "rows": [\n  {lines}\n]}}\n'
    write_whole(RESULTS / frontier_of(stem) / "promises.json", text)


def promises_of(results: Results, name: str, config: str = FIVE_SETS) -> Iterator[dict[str, Any]]:
    """A row for each seed and budget: the point that is chosen, what it promises, and what the test documents give.

    Args:
        results: that have the logits and the speeds.
        name: of the set.
        config: of the classifiers.
    """
    answers, timing = f"{config}/{name}", f"{frontier_of(config)}/{name}/speed"
    if not (results.has(answers) and results.has(timing)):
        return
    record, speed = results.read(answers), results.read(timing)
    seconds = {own: median(times) / speed["documents"] for own, times in speed["seconds"].items()}
    truth = {split: torch.tensor(own) for split, own in record["truth"].items()}
    for run in record["runs"]:
        files = {stage: f"seed{run['seed']}-{stage}.safetensors" for stage in ("words", *ENCODERS)}
        logits = {stage: load_file(results.folder / answers / file) for stage, file in files.items()}
        logits = {stage: {split: own.float() for split, own in splits.items()} for stage, splits in logits.items()}
        candidates = list(candidates_of(logits, truth["validation"], seconds))
        for budget in BUDGETS:
            chosen = candidates[Goal(budget=budget).best([each.point for each in candidates])]
            yield {"data": name, "seed": run["seed"], "budget": budget, **told(chosen, logits, truth["test"])}


def candidates_of(logits: Logits, truth: Tensor, seconds: Mapping[str, float]) -> Iterator[Candidate]:
    """Every composition, with its promise.

    Args:
        logits: of all stages.
        truth: of the validation documents.
        seconds: of a document, by contender.
    """
    dense = logits["dense"]["validation"]
    documents = len(truth)
    for encoder, contender in ENCODERS.items():
        own = logits[encoder]["validation"]
        answers = StageAnswers([1] * documents, [own], 1.0, [documents * seconds[contender]], [], thresholds=None)
        for say in (None, WordsSay(logits["words"]["validation"], documents * seconds["words"])):
            for made in compositions(answers, say, truth, KIND):
                found = compare(made.logits.numpy(), dense.numpy(), truth.numpy(), "accuracy")
                yield Candidate(encoder, made, expected_point(made, found, documents, documents * seconds["dense"]))


def told(chosen: Candidate, logits: Logits, truth: Tensor) -> dict[str, Any]:
    """Promise and test of a point, in points of accuracy against dense; speed in times dense."""
    answers = answers_of(chosen, {stage: own["test"] for stage, own in logits.items()})
    found = compare(answers.numpy(), logits["dense"]["test"].numpy(), truth.numpy(), "accuracy")
    words = compare(answers.numpy(), logits["words"]["test"].numpy(), truth.numpy(), "accuracy")
    return {
        "encoder": chosen.encoder,
        "words_first": chosen.made.words is not None,
        "shares": dict(chosen.made.shares),
        "speed": chosen.point.speed,
        "promised": 100 * chosen.point.difference,
        "interval": [100 * end for end in chosen.point.interval],
        "test": 100 * found.difference,
        "test_interval": [100 * end for end in found.interval],
        "test_documents": len(truth),
        "test_against_words": 100 * words.difference,
    }


def answers_of(chosen: Candidate, logits: Mapping[str, Tensor]) -> Tensor:
    """Logits [N, C] of a composition on other documents, of the logits of its stages."""
    rule, encoder = chosen.made.words, logits[chosen.encoder]
    return encoder if rule is None else behind_words(rule, logits["words"], encoder)[1]


if __name__ == "__main__":
    main()
