"""Results: what a model answers of each document, in plain numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from tokensieve.model.answers import Answers
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.probabilities import class_probabilities

Given = TypeVar("Given")


@dataclass(frozen=True)
class Embedded(Generic[Given]):
    """Vectors of some documents.

    Attributes:
        documents: as they were given.
        vectors: [N, d] float32 on the CPU.
        lengths: tokens that the encoder saw of each, special tokens included.
        kept: of each, the tokens kept at every step, see `Trace.kept`.
    """

    documents: tuple[Given, ...]
    vectors: Tensor
    lengths: tuple[int, ...]
    kept: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What the model says of one document.

    Attributes:
        probabilities: of every class, in the order of the class ids, at the model's calibration temperature.
        label: class id of the highest one.
        labels: class ids given: the one; of a multi-label model all that reach their threshold, maybe none.
        logits: what the probabilities are made of, before the temperature.
        length: tokens that the encoder saw, special tokens included; of a bag of words, its known terms.
        kept: tokens kept at every step, see `Trace.kept`; empty where a bag of words answered.
        tokens: text of the tokens that survived, in order; None unless asked for.
        joined: combination token (0..m-1) that each of `tokens` joined; None without a combining module.
        stage: what answered: "encoder", "second encoder" (of a cascade) or "words".
    """

    probabilities: tuple[float, ...]
    label: int
    labels: tuple[int, ...]
    logits: tuple[float, ...]
    length: int
    kept: tuple[int, ...]
    tokens: tuple[str, ...] | None = None
    joined: tuple[int, ...] | None = None
    stage: str = "encoder"


def results_of(
    answers: Answers, ids: list[list[int]], config: TokensieveConfig, tokenizer: Any = None, stage: str = "encoder"
) -> Iterator[Result]:
    """The results of a batch.

    Args:
        answers: to its documents.
        ids: of each document.
        config: tells the calibration.
        tokenizer: names the tokens that survived; None: they are not asked for.
        stage: name of what answered.
    """
    trace, logits = answers.trace, answers.logits.float()
    probabilities = class_probabilities(logits, config.problem_type, config.calibration_temperature)
    survivors = None if tokenizer is None else trace.survivors()
    joined = None if tokenizer is None else trace.assignments()
    for i, (scores, row) in enumerate(zip(logits.tolist(), probabilities.tolist(), strict=True)):
        kept = tuple(step[i] for step in trace.kept)
        words = places = None
        if survivors is not None:
            words = tuple(tokenizer.convert_ids_to_tokens([ids[i][p] for p in survivors[i]]))
            places = tuple(joined[i][p] for p in survivors[i]) if joined is not None else None
        label, labels = decide(row, config)
        yield Result(tuple(row), label, labels, tuple(scores), len(ids[i]), kept, words, places, stage)


def decide(probabilities: list[float], config: Any) -> tuple[int, tuple[int, ...]]:
    """The most probable class, and all that are given: by a config with `is_multi_label` and `thresholds`."""
    highest = max(range(len(probabilities)), key=probabilities.__getitem__)
    if not config.is_multi_label:
        return highest, (highest,)
    thresholds = config.thresholds or [0.5] * len(probabilities)
    pairs = zip(probabilities, thresholds, strict=True)
    return highest, tuple(i for i, (probability, threshold) in enumerate(pairs) if probability >= threshold)


def given_labels(results: Sequence[Result], classes: int) -> Tensor:
    """0/1 [N, C] float32: the labels that each document is given."""
    matrix = torch.zeros(len(results), classes)
    for row, result in zip(matrix, results, strict=True):
        row[list(result.labels)] = 1
    return matrix
