"""PruMerge and CATP once more, image by image, in plain loops over numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from contract.oracle.pairs import cosine


def quartile(values: Sequence[float], share: Fraction) -> Fraction:
    """Linear, exactly."""
    ordered = sorted(map(Fraction, values))
    place = share * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


def kept_places(attention: Sequence[float], count: int | None, spatial: int, fence: float) -> list[int]:
    """The outliers, or the `count` highest, and what is evenly spaced."""
    ordered = sorted(range(len(attention)), key=lambda j: (-attention[j], j))
    if count is None:
        first, third = quartile(attention, Fraction(1, 4)), quartile(attention, Fraction(3, 4))
        bound = third + Fraction(str(fence)) * (third - first)
        chosen = [j for j in ordered if attention[j] > bound] or ordered[:1]
    else:
        chosen = ordered[:count]
    number = min(len(attention), spatial * len(chosen))
    return sorted({*chosen, *(j * len(attention) // number for j in range(number))})


def prumerge(hidden: Tensor, attention: Tensor, keys: Tensor, *, count: int | None = None, spatial: int = 0,
             neighbours: int = 32, supplement: str = "sum", rest: bool = False,
             fence: float = 1.5) -> tuple[list[Tensor], list[int]]:  # fmt: skip
    """The kept tokens of one image, and their places."""
    given = attention.tolist()
    places = kept_places(given, count, spatial, fence)
    made = []
    for p in places:
        others = sorted((j for j in range(len(given)) if j != p), key=lambda j: (-cosine(keys[p], keys[j]), j))
        near = others[:neighbours]
        taken = sum((given[j] * hidden[j] for j in near), torch.zeros_like(hidden[p]))
        if supplement == "sum":
            made.append(hidden[p] + taken)
        elif supplement == "mean" and near:
            made.append((given[p] * hidden[p] + taken) / (given[p] + sum(given[j] for j in near)))
        else:
            made.append(hidden[p])
    if rest:
        gone = [j for j in range(len(given)) if j not in places]
        made.append(sum((given[j] * hidden[j] for j in gone), torch.zeros_like(hidden[0])))
    return made, places


def borda(attention: Tensor, weights: Sequence[float] | None = None) -> list[float]:
    """The votes of each query: in each column those that it beats, and half of those that it ties with."""
    heads, queries, columns = attention.shape
    votes = [0.0] * queries
    for head in range(heads):
        for k in range(columns):
            column = attention[head, :, k].tolist()
            for q, value in enumerate(column):
                rank = sum(other < value for other in column) + sum(other == value for other in column) / 2 - 0.5
                votes[q] += rank * (1.0 if weights is None else weights[k])
    return votes
