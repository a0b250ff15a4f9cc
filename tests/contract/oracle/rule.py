"""Which tokens stay. The importance scores are float32, the arithmetic of the selection on them is exact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

from contract.oracle.pairs import halves

Scores = Sequence[float | Fraction]


def floor_share(ratio: float | Fraction, count: int) -> int:
    """floor(count * ratio), with a float as the decimal that is written down."""
    return math.floor(Fraction(str(ratio)) * count)


def quartile(values: Scores, share: Fraction) -> Fraction:
    """Linear quantile, exactly."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low, high = Fraction(ordered[math.floor(place)]), Fraction(ordered[math.ceil(place)])
    return low + (high - low) * (place - math.floor(place))


def quartiles(scores: Sequence[Scores], protected: Sequence[bool]) -> tuple[Fraction, Fraction] | None:
    """Quartiles of the unprotected tokens' scores, pooled over the sets; None where there is no such token."""
    pooled = [score for own in scores for score, safe in zip(own, protected, strict=True) if not safe]
    return (quartile(pooled, Fraction(1, 4)), quartile(pooled, Fraction(3, 4))) if pooled else None


def is_candidate(config: SimpleNamespace, score: float | Fraction, a: Fraction, b: Fraction) -> bool:
    """Outside I minus U, by the two membership functions."""
    if a == b:
        return False
    importance, unimportance = (min(max(x / (b - a), 0), 1) for x in (Fraction(score) - a, b - Fraction(score)))
    important = importance >= Decimal(repr(config.alpha_important))
    unimportant = unimportance >= Decimal(repr(config.alpha_unimportant))
    return not (important and not unimportant)


def reach(ratio: float | Fraction, scores: Scores, protected: Sequence[bool]) -> int:
    """The number of free tokens that score at least as high as the one at the quantile 1 - ratio."""
    free = sorted(score for score, safe in zip(scores, protected, strict=True) if not safe)
    return sum(score >= free[math.floor((1 - Fraction(str(ratio))) * (len(free) - 1))] for score in free)


def above(config: SimpleNamespace, scores: Scores, protected: Sequence[bool]) -> int:
    """The number of free tokens whose importance is at least the threshold: absolute, or times the mean or maximum."""
    free = [score for score, safe in zip(scores, protected, strict=True) if not safe]
    if config.score_is_log:
        highest = 0.0 if config.relative == "nothing" else max(free, default=0.0)
        free = [math.exp(score - highest) for score in free]
    exact = [Fraction(value) for value in free]
    unit = {"nothing": Fraction(1), "maximum": max(exact, default=0), "mean": Fraction(sum(exact), len(exact) or 1)}
    return sum(value >= Fraction(str(config.threshold)) * unit[config.relative] for value in exact)


def select(config: SimpleNamespace, scores: Sequence[Scores], protected: Sequence[bool]) -> list[list[int]]:
    """Indices that stay, for each of the S sets of scores of one document (S = 1: shared by the heads)."""
    t, safe = len(protected), sum(protected)
    places = range(t)
    bounds = quartiles(scores, protected) if config.pruning == "fuzzy" else None
    candidates = [
        {j for j in places if bounds and not protected[j] and is_candidate(config, own[j], *bounds)} for own in scores
    ]
    # Every head keeps as many as the one that keeps most, so that none loses a token it should keep.
    if config.ratio_scope == "candidates":
        count = max(1, *(t - len(c) + floor_share(config.keep_ratio, len(c)) for c in candidates))
    elif config.pruning == "quantile":
        count = max(1, *(safe + reach(config.keep_ratio, own, protected) for own in scores))
    elif config.pruning == "threshold":
        count = max(1, *(safe + above(config, own, protected) for own in scores))
    elif config.pruning in ("learned-threshold", "skim"):  # scores are told from the threshold on
        reaches = {"learned-threshold": lambda score: score >= 0, "skim": lambda score: score > 0}[config.pruning]
        free = [[score for score, is_safe in zip(own, protected, strict=True) if not is_safe] for own in scores]
        count = max(1, *(safe + sum(map(reaches, own)) for own in free))
    elif config.pruning == "similar-pairs":  # a score is minus a cosine
        limit = -config.threshold
        count = max(1, *(t - sum(own[j] <= limit for j in halves(protected)[0]) for own in scores))
    else:
        count = max(1, safe, floor_share(config.keep_ratio, t))
    if config.pruning == "pairs":
        count = max(count, t - (t - safe) // 2)
    count = max(count, min(t, config.min_tokens))
    kept = []
    for own, marked in zip(scores, candidates, strict=True):
        # Candidates leave first, lowest score first, of equals the higher position; then others the same way.
        leaving = sorted((j for j in places if not protected[j]), key=lambda j: (j not in marked, own[j], -j))
        if config.pruning == "similar-pairs" or (
            config.pruning == "pairs" and config.prune.select.targets == "alternate"
        ):
            leaving = [j for j in leaving if j in halves(protected)[0]]
        gone = set(leaving[: t - count])
        kept.append([j for j in places if j not in gone])
    return kept


def select_positions(
    config: SimpleNamespace, scores: Sequence[Scores], alive: Sequence[Sequence[int]], protected: Sequence[bool]
) -> list[list[int]]:
    """Positions that stay of those `alive` in each set; earlier steps may have left the sets different."""
    # With the protected ones, which all sets share, moved to the end, they stand at the same places everywhere.
    order = [sorted(range(len(own)), key=lambda j, own=own: (protected[own[j]], j)) for own in alive]
    moved = [[own[j] for j in places] for own, places in zip(scores, order, strict=True)]
    stay = select(config, moved, [protected[alive[0][j]] for j in order[0]])
    return [sorted(own[places[j]] for j in kept) for own, places, kept in zip(alive, order, stay, strict=True)]


def margin(config: SimpleNamespace, scores: Sequence[Scores], protected: Sequence[bool]) -> float:
    """Distance of the score nearest to the candidates' threshold, as a share of the scores' spread."""
    bounds = quartiles(scores, protected)
    if config.ratio_scope != "candidates" or bounds is None or bounds[0] == bounds[1]:
        return math.inf
    a, b = bounds
    share = max(1 - Fraction(repr(config.alpha_unimportant)), Fraction(repr(config.alpha_important)))
    free = [score for own in scores for score, safe in zip(own, protected, strict=True) if not safe]
    return float(min(abs(score - (a + share * (b - a))) for score in free) / (b - a))


def protected_places(config: Any, ids: Sequence[int], segments: Sequence[int] | None = None) -> set[int]:
    """Positions of the special tokens that the tokenizer added, of one document without padding."""
    places = {0, len(ids) - 1}
    inner = range(1, len(ids) - 1)
    special = config.special_token_ids
    separators = [j for j in inner if special is None or (ids[j] == ids[-1] and ids[j] in special)]
    if segments is not None and config.type_vocab_size > 1:
        return places | set([j for j in separators if segments[j] != segments[j + 1]][:1])
    pairs = config.text_pairs if config.text_pairs is not None else config.type_vocab_size < 2
    if special is None or not pairs:
        return places
    if config.pair_separators == 1:
        return places | set(separators[:1])
    double = [j for j in separators if j + 1 in separators][:1]
    return places | set(double) | {j + 1 for j in double}
