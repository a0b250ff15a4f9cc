"""A second, padded implementation of every cell, for the reference forward: the oracle of the contract tests.

A new score or selection has its function here, in `SCORES` or `SELECTIONS`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from tokensieve.config import Prune
from tokensieve.model.layer import Layer
from tokensieve.reduce.combine.combining_module import TokenCombiner
from tokensieve.reduce.contract import Score, Select
from tokensieve.reduce.score.learned import Learned
from tokensieve.reduce.score.random import Random
from tokensieve.reduce.score.received import Received
from tokensieve.reduce.select.fuzzy import Fuzzy
from tokensieve.reduce.select.quantile import Quantile
from tokensieve.reduce.select.top_share import TopShare


def scored_rows(prune: Prune | None, rows: Tensor, m: int) -> Tensor:
    """Mark those of `rows` [B, R] whose attention makes the score; the last m rows are combination tokens."""
    place, number = rows.cumsum(1) - 1, rows.sum(1, keepdim=True)
    score = None if prune is None else prune.score
    if not isinstance(score, Received) or score.queries == "all":
        return rows
    if score.queries == "anchors":
        return rows & ((place == 0) | (place >= number - m))
    wanted = torch.arange(score.sample, device=rows.device) * number // score.sample  # [B, s]
    return rows & ((place.unsqueeze(2) == wanted.unsqueeze(1)).any(2) | (number <= score.sample))


def learned_scores(score: Score, module: Layer, text: Tensor) -> Tensor:
    """Scores [B, 1, L] of the hidden states [B, L, d] by the fitted map."""
    assert module.importance is not None
    return (text @ module.importance.get_buffer("weight")[0]).unsqueeze(1)


def random_scores(score: Random, module: Layer, text: Tensor) -> Tensor:
    """Scores [B, 1, L] by position, computed with whole numbers in plain Python."""
    numbers = []
    for position in range(text.shape[1]):
        mixed = (position + 1) * 2654435761 + (score.seed + 1) * 40503
        for shift, factor in ((15, 73244475), (13, 295559667)):
            low = mixed % 2**31
            mixed = (low ^ (low // 2**shift)) * factor
        numbers.append(mixed % 2**31 // 2**7 / 2**24)
    return torch.tensor(numbers, device=text.device).expand(len(text), 1, -1)


SCORES: dict[type[Score], Any] = {Learned: learned_scores, Random: random_scores}
"""Scores that need no attention: (cell, layer, hidden states [B, L, d]) -> [B, 1, L]."""


def select(prune: Prune, share: Fraction, scores: Tensor, alive: Tensor, protected: Tensor) -> Tensor:
    """Tokens that stay, [B, S, L]: the protected ones, and of the free ones those that rank before the count."""
    protected = protected & alive
    free, total = alive & ~protected, alive.sum(-1, keepdim=True)
    spared, count = SELECTIONS[type(prune.select)](prune.select, share, scores, free, total)
    count = torch.maximum(count.clamp(min=1), protected.sum(-1, keepdim=True))
    count = torch.maximum(count, total.clamp(max=prune.select.min_tokens))
    before = ranks_before(scores, free, spared)
    return protected | (free & (before < count - protected.sum(-1, keepdim=True)))


def top_share(cell: Select, share: Fraction, scores: Tensor, free: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """Spare no free token; floor(t p) stay."""
    return ~free, total * share.numerator // share.denominator


def fuzzy(cell: Fuzzy, share: Fraction, scores: Tensor, free: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """Spare the tokens that are no candidates, by the two-stage rule as it is written."""
    candidate = candidates(cell, scores, free)
    if cell.scope == "all":
        return ~candidate, total * share.numerator // share.denominator
    number = candidate.sum(-1, keepdim=True)
    count = total - number + number * share.numerator // share.denominator
    return ~candidate, count.amax(1, keepdim=True)


def quantile(cell: Select, share: Fraction, scores: Tensor, free: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """Keep the free tokens that score at least as high as the one at the quantile 1 - p."""
    number = free.sum(-1, keepdim=True)
    place = (number - 1).clamp(min=0) * (share.denominator - share.numerator) // share.denominator
    up_to = ((scores.unsqueeze(-1) >= scores.unsqueeze(-2)) & free.unsqueeze(-2)).sum(-1)  # with itself
    leaves = free & (up_to <= place)
    return ~free, (total - leaves.sum(-1, keepdim=True)).amax(1, keepdim=True)


SELECTIONS: dict[type[Select], Any] = {TopShare: top_share, Fuzzy: fuzzy, Quantile: quantile}
"""(cell, share, scores [B, S, L], free [B, S, L], total [B, S, 1]) -> spared tokens [B, S, L], and how many stay."""


def ranks_before(scores: Tensor, free: Tensor, spared: Tensor) -> Tensor:
    """For every token, the number of free tokens that rank before it.

    Spared tokens rank before the others, then higher scores before lower ones, then lower positions before higher ones.
    """
    mine, other = scores.unsqueeze(-1), scores.unsqueeze(-2)
    mine_spared, other_spared = spared.unsqueeze(-1), spared.unsqueeze(-2)
    place = torch.arange(scores.shape[-1], device=scores.device)
    first = (other > mine) | ((other == mine) & (place.unsqueeze(0) < place.unsqueeze(1)))
    first = (other_spared & ~mine_spared) | ((other_spared == mine_spared) & first)
    return (first & free.unsqueeze(-2)).sum(-1)


def merge(
    both: list[Tensor], sizes: Tensor, leaves: Tensor, takes: Tensor, m: int, prune: Prune
) -> tuple[list[Tensor], Tensor]:
    """Merge the tokens that leave: values [B, R, d] (similarity is that of the first of `both`), and sizes [B, R]."""
    if prune.merge is None:
        return both, sizes
    into = merging(both[0], leaves[:, 0], takes[:, 0], m)
    merged = into @ sizes.unsqueeze(2)
    return [into @ (values * sizes.unsqueeze(2)) / merged for values in both], merged.squeeze(2)


def merging(values: Tensor, leaves: Tensor, takes: Tensor, m: int) -> Tensor:
    """Weights [B, R, R], 1 where row i takes row j of values [B, R, d].

    A row that stays takes itself, and the rows that leave and are most similar to it.
    `leaves` and `takes` are [B, L], text alone. A row that leaves, and finds no row that takes it, stays by itself.
    """
    leaves, takes = (torch.nn.functional.pad(flags, (0, m)) for flags in (leaves, takes))
    unit = torch.nn.functional.normalize(values.float(), dim=-1)
    alike = (unit @ unit.transpose(1, 2)).masked_fill(~takes.unsqueeze(1), -torch.inf)
    target = torch.nn.functional.one_hot(alike.argmax(2), values.shape[1]) * takes.any(1).view(-1, 1, 1)
    itself = torch.eye(values.shape[1], device=values.device, dtype=torch.long)
    into = torch.where(leaves.unsqueeze(2), target, itself).transpose(1, 2).to(values.dtype)
    return into + torch.diag_embed((into.sum(2) == 0).to(values.dtype))  # no division by zero in rows that are gone


def candidates(cell: Fuzzy, scores: Tensor, free: Tensor) -> Tensor:
    """The complement of I minus U among free tokens (PTC section 3.3); none if the quartiles agree."""
    pooled = scores.masked_fill(~free, torch.nan).flatten(1)
    a, b = (pooled.nanquantile(q, dim=1).view(-1, 1, 1) for q in (0.25, 0.75))
    important = ((scores - a) / (b - a)).clamp(0, 1) >= cell.alpha_important
    unimportant = ((b - scores) / (b - a)).clamp(0, 1) >= cell.alpha_unimportant
    return free & ~(important & ~unimportant) & (b > a)


def combine(module: TokenCombiner, text: Tensor, combination: Tensor, mask: Tensor) -> Tensor:
    """Combination tokens [B, m, d] after every masked-in text token joined the most similar one, or gave to all."""
    if module.soft:
        takes = module.similarity(text, combination).masked_fill(~mask.unsqueeze(1), -torch.inf).softmax(2)
        update: Tensor = module.dense(takes @ module.value(text) / (1 + module.count_offset))
        return combination + update
    joins = torch.nn.functional.one_hot(module.similarity(text, combination).argmax(1), combination.shape[1])
    joins = joins.transpose(1, 2).to(text.dtype) * mask.unsqueeze(1)
    number = joins.sum(-1, keepdim=True)
    mean = joins @ module.value(text) / (number + module.count_offset).clamp(min=1e-9)
    return torch.where(number > 0, combination + module.dense(mean), combination)
