"""Pairs of tokens: how alike two are by their keys, which of them leave, and into whom they may go."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from types import SimpleNamespace

import torch
from torch import Tensor


def halves(protected: Sequence[bool]) -> tuple[list[int], list[int]]:
    """The unprotected places in turn: the first, third, ... and the second, fourth, ..."""
    free = [j for j, safe in enumerate(protected) if not safe]
    return free[::2], free[1::2]


def cosine(one: Tensor, other: Tensor) -> float:
    """Of two vectors."""
    return float(torch.cosine_similarity(one, other, dim=0))


def stepped(one: Tensor, other: Tensor) -> float:
    """The cosine in steps of 1 / 2^14, by which tokens are chosen: equal tokens tie."""
    return round(cosine(one, other) * 2**14) / 2**14


def key_similarity(keys: Sequence[Tensor], protected: Sequence[bool]) -> list[float]:
    """Minus the likeness to the most similar token of the other half; 1 where there is none."""
    scores = [1.0] * len(keys)
    first, second = halves(protected)
    for own, others in ((first, second), (second, first)):
        for i in own:
            scores[i] = -max((stepped(keys[i], keys[j]) for j in others), default=-1.0)
    return scores


def is_near(protected: Sequence[bool], place: int, other: int, band: int) -> bool:
    """Whether two unprotected places are of different halves, and a_i and b_j with |i - j| < band.

    The first place may be of either half: told by how far the other one stands behind it, 2 (j - i) + 1 places.
    """
    free = [j for j, safe in enumerate(protected) if not safe]
    behind = free.index(other) - free.index(place)
    return any(behind == 2 * between + 1 for between in range(1 - band, band))


def band_similarity(vectors: Sequence[Tensor], protected: Sequence[bool], band: int) -> list[float]:
    """Minus the likeness of a_i to the most similar b_j with |i - j| < band; 1 where there is none, and for b."""
    scores, (first, second) = [1.0] * len(vectors), halves(protected)
    for i, own in enumerate(first):
        near = [stepped(vectors[own], vectors[other]) for j, other in enumerate(second) if abs(i - j) < band]
        scores[own] = -max(near, default=-1.0)
    return scores


def energy(keys: Sequence[Tensor], margin: float) -> list[float]:
    """Minus the mean over the other tokens of the normal density of 1 - cosine, whose deviation is 1 - margin."""
    density = NormalDist(0, 1 - margin).pdf
    return [
        -sum(density(1 - stepped(one, other)) for j, other in enumerate(keys) if j != i) / max(1, len(keys) - 1)
        for i, one in enumerate(keys)
    ]


def takers(
    prune: SimpleNamespace, scores: Sequence[float], protected: Sequence[bool], stay: Sequence[int]
) -> list[int]:
    """Places that stay and may take others, of all places that stood before."""
    free = [j for j in stay if not protected[j]]
    if prune.select.name not in ("pairs", "similar-pairs"):
        return free
    if getattr(prune.select, "targets", "alternate") == "alternate":
        return [j for j in free if j in halves(protected)[1]]
    ranked = sorted(free, key=lambda j: (scores[j], -j))  # of equals the higher position goes first
    return sorted(ranked[: len(scores) - len(stay)])
