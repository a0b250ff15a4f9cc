"""The rows that stay: `select_rows` applies any selection to the scores of a packed batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from tokensieve.kernels.ragged import Slots
from tokensieve.reduce.contract import Scored, Select
from tokensieve.tokens import Tokens


@dataclass(frozen=True)
class KeyRows:
    """The rows that serve as keys and values, combination tokens included.

    Attributes:
        rows: [S, K] rows of the packed batch, ascending within a document; S is 1 or the number of heads.
        lengths: keys of each document.
        takes: [S, K] bool, of rows that a selection chose: those into which others may be merged. None: all of the
            text that are not protected.
    """

    rows: Tensor
    lengths: tuple[int, ...]
    takes: Tensor | None = None


def select_rows(
    select: Select,
    share: Fraction,
    scores: Tensor,
    keys: KeyRows,
    tokens: Tokens,
    exempt: Sequence[bool],
    is_log: bool = False,
) -> KeyRows:
    """Apply a selection: the rows of `keys` that stay, in order. Combination tokens always stay.

    Args:
        select: the selection.
        share: exact share of the layer.
        scores: [S, K] float32, a score for each key.
        keys: the rows to select from: all rows of the documents, or those that earlier layers kept.
        tokens: the packed batch, with its protected tokens.
        exempt: for each document, whether it is not pruned.
        is_log: whether the scores are logarithms.

    Returns:
        The rows that stay. The other rows of `keys` are in no later tensor of the chosen site.
    """
    combination, protected = tokens.combination, tokens.protected_counts
    slots, scored = padded_scores(scores, keys, tokens, is_log)
    text = scored.lengths
    keep = select.select(scored, share)
    if any(exempt):
        keep = keep | (torch.tensor(exempt, device=keep.device).view(-1, 1, 1) & slots.alive)
    counts = select.counts(text, protected, share)
    if counts is None:
        counts = tuple(keep[:, 0].sum(-1).tolist())
    lengths = tuple(
        (length if out else count) + combination for length, out, count in zip(text, exempt, counts, strict=True)
    )
    stays, takers = slots.unpad(keep, True), select.takers(scored, share)
    takes = None if takers is None else slots.unpad(takers, False)[stays].view(len(keys.rows), -1)
    return KeyRows(keys.rows[stays].view(len(keys.rows), -1), lengths, takes)


def padded_scores(scores: Tensor, keys: KeyRows, tokens: Tokens, is_log: bool = False) -> tuple[Slots, Scored]:
    """The input of a selection, of scores [S, K] for each of `keys`; and how it is padded."""
    combination = tokens.combination
    slots = Slots(keys.lengths, combination, scores.device)
    scored = Scored(
        scores=slots.pad(scores, -torch.inf),
        alive=slots.alive,
        protected=slots.pad(tokens.protected[keys.rows], False),
        lengths=tuple(length - combination for length in keys.lengths),
        protected_counts=tokens.protected_counts,
        is_log=is_log,
    )
    return slots, scored


def all_rows(tokens: Tokens, sets: int = 1) -> KeyRows:
    """All rows of the batch, the same for each of S sets of scores."""
    everything = torch.arange(len(tokens.values), device=tokens.values.device)
    return KeyRows(everything.expand(sets, -1), tokens.lengths)
