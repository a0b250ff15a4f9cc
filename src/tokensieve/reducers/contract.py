"""The contract of a reducer: attention reports a signal, `score` makes numbers of it, `select` says which tokens stay.

A reducer never moves a token: `select_rows` does, the same way for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tokensieve.kernels.ragged import Slots
from tokensieve.reducers.queries import RowsScored, all_rows


@dataclass(frozen=True)
class Scored:
    """What a reducer decides on; documents are padded so that one tensor operation serves the batch.

    S is 1 where the heads share one kept set, else the number of heads.

    Attributes:
        scores: [B, S, L] float32, higher stays; -inf where not alive.
        alive: [B, 1, L] bool, text tokens that are still there (no padding, no combination tokens).
        protected: [B, S, L] bool, tokens that must stay.
        lengths: alive tokens of each document.
        protected_counts: protected tokens of each document.
    """

    scores: Tensor
    alive: Tensor
    protected: Tensor
    lengths: tuple[int, ...]
    protected_counts: tuple[int, ...]


class Reducer(ABC):
    """Decides which tokens stay. Subclasses write `select`, and `counts` where length alone tells how many."""

    shared_heads: bool = True
    queries: RowsScored = staticmethod(all_rows)
    """What the reducer sees: the queries whose attention makes the score."""

    def score(self, received: Tensor) -> Tensor:
        """Importance [S, K] from the attention that keys receive [H, K] (PTC section 3.1); shared heads average."""
        return received.mean(0, keepdim=True) if self.shared_heads else received

    @abstractmethod
    def counts(self, lengths: Sequence[int], protected_counts: Sequence[int]) -> tuple[int, ...] | None:
        """Tokens that stay in documents of these lengths; None where that depends on the scores."""

    @abstractmethod
    def select(self, scored: Scored) -> Tensor:
        """Tokens that stay, [B, S, L] bool: every protected one, none that is not alive, as many for every head."""

    @abstractmethod
    def bounds(self, alive: int, protected: int) -> tuple[int, int]:
        """Fewest and most tokens that can stay of `alive` tokens, for the plan."""


@dataclass(frozen=True)
class KeyRows:
    """The rows that serve as keys and values, combination tokens included.

    Attributes:
        rows: [S, K] rows of the packed batch, ascending within a document; S is 1 or the number of heads.
        lengths: keys of each document.
    """

    rows: Tensor
    lengths: tuple[int, ...]


def select_rows(
    reducer: Reducer,
    scores: Tensor,
    keys: KeyRows,
    protected: Tensor,
    protected_counts: tuple[int, ...],
    combination: int,
    exempt: Sequence[bool],
) -> KeyRows:
    """Apply a reducer: the rows of `keys` that stay, in order, with the combination tokens, which always do.

    Args:
        reducer: decides.
        scores: [S, K] importance of the keys, float32.
        keys: the candidates, all rows of the documents or what earlier layers left of them.
        protected: [T] bool over the packed batch.
        protected_counts: protected tokens of each document.
        combination: m, combination tokens at the end of each document.
        exempt: documents that are not pruned.

    Returns:
        The rows that stay; those of `keys` that are missing are in no later tensor of the chosen site.
    """
    slots = Slots(keys.lengths, combination, scores.device)
    text = tuple(length - combination for length in keys.lengths)
    scored = Scored(
        scores=slots.pad(scores, -torch.inf),
        alive=slots.alive,
        protected=slots.pad(protected[keys.rows], False),
        lengths=text,
        protected_counts=protected_counts,
    )
    keep = reducer.select(scored)
    if any(exempt):
        keep = keep | (torch.tensor(exempt, device=keep.device).view(-1, 1, 1) & slots.alive)
    counts = reducer.counts(text, protected_counts)
    if counts is None:
        counts = tuple(keep[:, 0].sum(-1).tolist())
    lengths = tuple((own if out else count) + combination for own, out, count in zip(text, exempt, counts, strict=True))
    return KeyRows(keys.rows[slots.unpad(keep, True)].view(len(keys.rows), -1), lengths)
