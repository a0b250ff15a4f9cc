"""Page rank of one document's rows by its attention, vote by vote; and which rows leave as near copies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from torch import Tensor

from contract.oracle.pairs import stepped

Attention = Sequence[Sequence[float]]


def votes(given: Attention, start: Sequence[float], rounds: int, among: Sequence[int]) -> dict[int, float]:
    """What each row of `among` holds after some rounds, in each of which it gives all to them, by its attention."""
    whole = {j: sum(given[j][i] for i in among) for j in among}
    held = {j: start[j] for j in among}
    for _ in range(rounds):
        held = {i: sum(held[j] * given[j][i] / whole[j] for j in among) for i in among}
    return held


def importance(score: Any, heads: Sequence[Attention], start: Sequence[float], rounds: int, among: Sequence[int],
               free: Sequence[int]) -> dict[int, float]:  # fmt: skip
    """One number for each row of `among`, of all heads whose scores vary enough and not too much."""
    counted = [j for j in free if j in among]
    scaled, variances, informative = [], [], []
    for given in heads:
        held = votes(given, start, rounds, among)
        total = sum(held[j] for j in counted)
        mean = total / len(counted) if counted else 1.0
        scaled.append({j: value / mean for j, value in held.items()})
        variances.append(sum((scaled[-1][j] - 1) ** 2 for j in counted) / max(1, len(counted)))
        shares = [held[j] / total for j in counted]
        informative.append(math.log(max(1, len(counted))) + sum(share * math.log(share) for share in shares))
    least, most = score.variance or (0.0, math.inf)
    passing = [float(least <= variance <= most) for variance in variances]
    weights = passing if any(passing) else [1.0] * len(heads)
    if score.heads == "entropy":
        told = [weight * max(0.0, more) for weight, more in zip(weights, informative, strict=True)]
        weights = told if any(told) else [1.0] * len(heads)
    power = 2 if score.heads == "rms" else 1
    return {
        j: (sum(w * own[j] ** power for w, own in zip(weights, scaled, strict=True)) / sum(weights)) ** (1 / power)
        for j in among
    }


def page_rank(score: Any, heads: Sequence[Attention], keys: Sequence[Tensor], where: Sequence[int],
              protected: Sequence[bool], leaving: int, depth: Fraction) -> list[float]:  # fmt: skip
    """Scores of the text rows of a document.

    Args:
        score: the settings.
        heads: the attention of each row, combination tokens included, to all rows, for each head.
        keys: of each row, those of all heads one behind the other.
        where: positions of the text rows.
        protected: for each text row, whether it may not leave.
        leaving: how many of them leave.
        depth: share of the layers that stand ahead of this one.
    """
    everyone = list(range(len(keys)))
    start = [1.0] * len(keys)
    if score.emphasis and 0 in where:
        start[where.index(0)] = math.sqrt(len(keys))
    free = [j for j in range(len(where)) if not protected[j]]
    number = math.floor(Fraction(str(score.similar)) * leaving)
    gone: dict[int, float] = {}
    if number:
        first = importance(score, heads, start, 1, everyone, free)
        ordered = sorted(free, key=lambda j: (-first[j], j))  # the most important one first
        half = len(ordered) // 2
        source = {
            "sequential": ordered[len(ordered) - half :], "important": ordered[:half], "alternate": ordered[1::2],
        }[score.partition]  # fmt: skip
        target = [j for j in free if j not in source]
        best = {i: max(stepped(keys[i], keys[j]) for j in target) for i in source}
        gone = {i: best[i] for i in sorted(best, key=lambda i: (-best[i], i))[:number]}
    rounds = score.rounds[0 if depth < Fraction(1, 4) else 1 if depth < Fraction(3, 4) else 2]
    last = importance(score, heads, start, rounds, [j for j in everyone if j not in gone], free)
    return [-2 - gone[j] if j in gone else last[j] for j in range(len(where))]
