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


def key_similarity(keys: Sequence[Tensor], protected: Sequence[bool]) -> list[float]:
    """Minus the likeness to the most similar token of the other half; 1 where there is none."""
    scores = [1.0] * len(keys)
    first, second = halves(protected)
    for own, others in ((first, second), (second, first)):
        for i in own:
            scores[i] = -max((cosine(keys[i], keys[j]) for j in others), default=-1.0)
    return scores


def energy(keys: Sequence[Tensor], margin: float) -> list[float]:
    """Minus the mean over the other tokens of the normal density of 1 - cosine, whose deviation is 1 - margin."""
    density = NormalDist(0, 1 - margin).pdf
    return [
        -sum(density(1 - cosine(one, other)) for j, other in enumerate(keys) if j != i) / max(1, len(keys) - 1)
        for i, one in enumerate(keys)
    ]


def takers(
    prune: SimpleNamespace, scores: Sequence[float], protected: Sequence[bool], stay: Sequence[int]
) -> list[int]:
    """Places that stay and may take others, of all places that stood before."""
    free = [j for j in stay if not protected[j]]
    if prune.select.name != "pairs":
        return free
    if prune.select.targets == "alternate":
        return [j for j in free if j in halves(protected)[1]]
    ranked = sorted(free, key=lambda j: (scores[j], -j))  # of equals the higher position goes first
    return sorted(ranked[: len(scores) - len(stay)])
