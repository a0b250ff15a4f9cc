"""The token budget of a batch that is fastest on this machine, measured on the documents at hand."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import torch

from tokensieve.runtime.batching import batches_by_tokens

logger = logging.getLogger(__name__)

BATCH_TOKENS = 4096
"""Default budget: on CPU larger batches win nothing and leave the cache, smaller ones pay per call."""

CANDIDATES = (BATCH_TOKENS, 2048, 8192, 1024, 16384)
"""Budgets that are tried, in this order; one with more tokens than the documents have is left out."""

LEAST_TOKENS = 8192
"""Fewer than these say too little, and are soon classified with any budget."""

_LEAST_TIMED = 2048  # tokens that a budget is timed on at least
_MOST_SECONDS = 10.0  # nothing is timed that is expected to end later
_ROUNDS = 2
_GAIN = 1.05  # by which another budget has to beat the default: less is noise

Run = Callable[[list[int]], object]


def fastest_budget(lengths: Sequence[int], run: Run, clock: Callable[[], float] = time.perf_counter) -> int | None:
    """Time the candidates on some of the documents, in interleaved rounds, and choose.

    All are timed on documents of middling length, in the batches that they would be in. It costs some 70 000 tokens
    of work at most, and on a slow machine ten seconds, the run of the default budget included.

    Args:
        lengths: tokens of each document.
        run: computes a batch, given as indices into `lengths`, and waits for it.
        clock: seconds.

    Returns:
        The default unless another one is faster by 5 % or more; None where the documents have fewer tokens than
        `LEAST_TOKENS` together.
    """
    if sum(lengths) < LEAST_TOKENS:
        return None
    run(_middle(lengths, _LEAST_TIMED // 2))  # what only the first batch pays for
    start, latest = clock(), 0.0
    speeds: dict[int, float] = {}
    for _ in range(_ROUNDS):
        for budget in CANDIDATES:
            documents = _middle(lengths, max(budget, _LEAST_TIMED))
            tokens = sum(lengths[i] for i in documents)
            late = latest and clock() - start + tokens / latest > _MOST_SECONDS
            if budget > sum(lengths) or late or speeds.get(budget) == 0:
                continue
            found = _speed(documents, lengths, budget, run, clock)
            speeds[budget] = max(speeds.get(budget, 0), found)
            latest = found or latest
    best = max(speeds, key=speeds.__getitem__)
    chosen = best if speeds[best] >= _GAIN * speeds[BATCH_TOKENS] else BATCH_TOKENS
    logger.debug(
        "batches of at most %d tokens; tokens per second by budget: %s",
        chosen,
        ", ".join(f"{budget}: {speeds[budget]:.0f}" for budget in sorted(speeds)),
    )
    return chosen


def _speed(documents: list[int], lengths: Sequence[int], budget: int, run: Run, clock: Callable[[], float]) -> float:
    """Tokens per second; 0 where the memory of a GPU does not suffice."""
    own = [lengths[i] for i in documents]
    start = clock()
    try:
        for batch in batches_by_tokens(own, budget):
            run([documents[i] for i in batch])
    except torch.OutOfMemoryError:
        return 0.0
    return sum(own) / max(clock() - start, 1e-9)


def _middle(lengths: Sequence[int], tokens: int) -> list[int]:
    """Neighbours in length around the middle of all tokens, so many tokens of them or as many as there are."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    before, start, total = max(sum(lengths) - tokens, 0) / 2, 0, 0
    while total + lengths[order[start]] <= before:
        total += lengths[order[start]]
        start += 1
    chosen = [order[start]]
    total = lengths[order[start]]
    for index in order[start + 1 :]:
        if total + lengths[index] > tokens:
            break
        chosen.append(index)
        total += lengths[index]
    return chosen
