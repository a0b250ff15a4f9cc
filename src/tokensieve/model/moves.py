"""Moves: into which row every token of a batch went, over all layers; and rows brought back to all tokens by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor

from tokensieve.reduce.merge.contract import NOWHERE, Merging
from tokensieve.reduce.rows import KeyRows
from tokensieve.tokens import Tokens


@dataclass(frozen=True)
class _Step:
    """The rows that a layer left: their places among those before, or with merging the place of each one before."""

    rows: Tensor
    into: Tensor | None
    lengths: tuple[int, ...]

    def followed(self, into: Tensor, before: int) -> Tensor:
        """Where the tokens are behind the step, of where they were ahead of it among `before` rows."""
        step = self.into
        if step is None:
            step = into.new_full((before,), NOWHERE)
            step[self.rows] = torch.arange(len(self.rows), device=into.device)
        return torch.where(into >= 0, step[into.clamp(min=0)], NOWHERE)


@dataclass
class Moves:
    """The moves of one batch, put together when asked for.

    Attributes:
        lengths: rows of each document ahead of the first layer.
        combination: how many of them, at the end, are combination tokens.
    """

    lengths: tuple[int, ...]
    combination: int = 0
    _steps: list[_Step] = field(default_factory=list)

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of each document that are left."""
        return self._steps[-1].lengths if self._steps else self.lengths

    def record(self, tokens: Tokens, kept: KeyRows | None, merging: Merging | None) -> None:
        """Record what a layer chose, if rows left: then `tokens` are fewer than before."""
        if tokens.lengths != self.rows and kept is not None:
            self._steps.append(_Step(kept.rows[0], None if merging is None else merging.into, tokens.lengths))

    def into(self) -> Tensor:
        """The place of each row of before among the packed rows that are left, [T]; NOWHERE if it was dropped."""
        device = self._steps[-1].rows.device if self._steps else None
        into, before = torch.arange(sum(self.lengths), device=device), sum(self.lengths)
        for step in self._steps:
            into, before = step.followed(into, before), sum(step.lengths)
        return into

    def now(self) -> Moves:
        """Themselves; those that are `Joined` or `Picked` are put together here."""
        return self

    @staticmethod
    def joined(parts: Sequence[Moves]) -> Moves:
        """The moves of parts of one batch."""
        if len(parts) == 1:
            return parts[0]
        starts = accumulate((sum(part.rows) for part in parts), initial=0)
        into = [_shifted(part.into(), start) for part, start in zip(parts, starts, strict=False)]
        lengths = tuple(length for part in parts for length in part.lengths)
        return _in_one_step(lengths, parts[0].combination, into, tuple(rows for part in parts for rows in part.rows))

    def picked(self, documents: Sequence[int]) -> Moves:
        """The moves of these documents, in this order."""
        own, starts = self.into().split(list(self.lengths)), list(accumulate(self.rows, initial=0))
        rows = tuple(self.rows[document] for document in documents)
        now = accumulate(rows, initial=0)
        into = [
            _shifted(own[document], start - starts[document]) for document, start in zip(documents, now, strict=False)
        ]
        return _in_one_step(tuple(self.lengths[document] for document in documents), self.combination, into, rows)


@dataclass(frozen=True)
class Joined:
    """The moves of parts of one batch, which nobody has asked for yet: inference joins parts in every batch."""

    parts: tuple[AnyMoves, ...]

    def now(self) -> Moves:
        """Put them together."""
        return Moves.joined([part.now() for part in self.parts])


@dataclass(frozen=True)
class Picked:
    """The moves of some documents, in this order, which nobody has asked for yet."""

    whole: AnyMoves
    documents: tuple[int, ...]

    def now(self) -> Moves:
        """Pick them."""
        return self.whole.now().picked(self.documents)


AnyMoves = Moves | Joined | Picked


def _shifted(into: Tensor, by: int) -> Tensor:
    return torch.where(into >= 0, into + by, NOWHERE)


def _in_one_step(lengths: tuple[int, ...], combination: int, into: Sequence[Tensor], rows: tuple[int, ...]) -> Moves:
    """Moves of documents of these lengths to the places `into` among so many rows each."""
    together = torch.cat(list(into))
    left = torch.arange(sum(rows), device=together.device)
    return Moves(lengths, combination, [_Step(left, together, rows)])
