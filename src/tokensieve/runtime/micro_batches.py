"""Micro-batches: a large batch goes through a model some documents at a time, several micro-batches at once.

At inference on CPU more rows at once save no time, and only cost memory.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from math import ceil

import torch

from tokensieve.cascade.build import EncoderClassifier
from tokensieve.memory import return_piled_up_pages
from tokensieve.model.answers import Answers
from tokensieve.model.batch import Batch
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.runtime.executor import MOST_TOGETHER, run_together

MICRO_BATCH_TOKENS = 1024
"""2048 to 8192 tokens are as fast and take more memory; 512 are a tenth slower (docs/log/2026-11-27.md)."""


def read_batch(model: EncoderClassifier, batch: Batch) -> Answers:
    """The answers of a model or a cascade to one batch, in micro-batches; gradients must be off."""
    if isinstance(model, TokensieveForSequenceClassification):
        return read_in_micro_batches(model, batch)
    return model.read(batch, read_in_micro_batches)


def read_in_micro_batches(model: TokensieveForSequenceClassification, batch: Batch) -> Answers:
    """The model's answers to a batch, as `model.read` gives them; gradients must be off."""
    return run_in_micro_batches(model.read, batch, model.encoder.rows_after_first_pruning(batch.lengths))


def run_in_micro_batches(read: Callable[[Batch], Answers], batch: Batch, rows: Sequence[int]) -> Answers:
    """The answers that `read` gives to a batch, in micro-batches; gradients must be off.

    Args:
        read: `read` of a model.
        batch: of any size.
        rows: the tokens of each document that count, where others leave ahead of the first layer.
    """
    batches = micro_batches(batch, rows)
    answers = run_together(read, batches)
    if len(batches) > 1:
        return_piled_up_pages()  # micro-batches free blocks of ever new sizes, which glibc would pile up
    return Answers.joined(answers)


def micro_batches(batch: Batch, rows: Sequence[int] | None = None) -> list[Batch]:
    """The batch as runs of documents of at most about MICRO_BATCH_TOKENS tokens; whole off the CPU.

    With several threads the number of micro-batches is a multiple of those that run at once, and all are about as long,
    so that none waits long for another.

    Args:
        batch: of any size.
        rows: the tokens of each document that count, where others leave ahead of the first layer; None: all.
    """
    if batch.mask.device.type != "cpu":
        return [batch]
    sizes = batch.lengths if rows is None else rows
    tokens = sum(sizes)
    together = max(1, min(torch.get_num_threads(), MOST_TOGETHER, tokens // (MICRO_BATCH_TOKENS // 2)))
    bounds = _bounds(sizes, ceil(tokens / MICRO_BATCH_TOKENS / together) * together)
    if len(bounds) == 2:
        return [batch]
    return [batch.picked(range(start, end)) for start, end in pairwise(bounds)]


def _bounds(sizes: Sequence[int], count: int) -> list[int]:
    """Where micro-batches of about as many tokens begin, and the end; fewer than `count` where documents are long."""
    before = [0, *accumulate(sizes)]

    def nearest(tokens: float) -> int:
        after = bisect_left(before, tokens)
        return after if before[after] - tokens <= tokens - before[max(after - 1, 0)] else after - 1

    return sorted({nearest(before[-1] * number / count) for number in range(count + 1)})
