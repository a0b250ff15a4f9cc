"""Trace: the tokens of a batch that were kept, as counts per step and as positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from tokensieve.model.moves import AnyMoves, Joined, Moves, Picked
from tokensieve.reduce.merge.contract import Merging
from tokensieve.reduce.rows import KeyRows
from tokensieve.tokens import COMBINATION, Tokens


class _Places(NamedTuple):
    """Positions of packed rows: [S, T] origins, and the rows of each document."""

    origin: Tensor
    lengths: tuple[int, ...]

    @staticmethod
    def joined(parts: Sequence[_Places | None]) -> _Places | None:
        """Concatenate the places of all parts; None if no part has any."""
        known = [part for part in parts if part is not None]
        if not known:
            return None
        sets = max(len(part.origin) for part in known)  # one where all heads have the same
        origin = torch.cat([part.origin.expand(sets, -1) for part in known], 1)
        return _Places(origin, tuple(length for part in known for length in part.lengths))

    def of_documents(self) -> list[Tensor]:
        return list(self.origin.cpu().split(list(self.lengths), dim=1))

    def picked(self, documents: Sequence[int]) -> _Places:
        """Select the places of these documents, in this order."""
        places = self.origin.split(list(self.lengths), dim=1)
        return _Places(torch.cat([places[i] for i in documents], 1), tuple(self.lengths[i] for i in documents))


@dataclass
class Trace:
    """The trace of one batch, which the encoder fills step by step. Positions are worked out when asked for.

    `trace[i]` is the view of one document, which lets transformers' pipelines take batched outputs apart.

    Attributes:
        kept: for every step the tokens of each document that count as kept: the text tokens that serve as keys
            (site "keys") or stay in the model (other sites); after the combining module the m combination tokens.
    """

    kept: list[tuple[int, ...]] = field(default_factory=list)
    _last: _Places | None = None
    _folded: _Places | None = None
    _joined: Tensor | None = None
    _moves: AnyMoves | None = None

    @staticmethod
    def joined(parts: Sequence[Trace]) -> Trace:
        """Concatenate the traces of parts of one batch, which went through the same steps."""
        if len(parts) == 1:
            return parts[0]
        joined = [part._joined for part in parts if part._joined is not None]
        moves = tuple(part._moves for part in parts if part._moves is not None)
        return Trace(
            kept=[tuple(chain(*step)) for step in zip(*(part.kept for part in parts), strict=True)],
            _last=_Places.joined([part._last for part in parts]),
            _folded=_Places.joined([part._folded for part in parts]),
            _joined=torch.cat(joined) if joined else None,
            _moves=Joined(moves) if len(moves) == len(parts) else None,
        )

    def picked(self, documents: Sequence[int]) -> Trace:
        """Select the trace of these documents, in this order."""
        joined = self._joined_by_document()
        return Trace(
            kept=[tuple(step[i] for i in documents) for step in self.kept],
            _last=self._last and self._last.picked(documents),
            _folded=self._folded and self._folded.picked(documents),
            _joined=None if joined is None else torch.cat([joined[i] for i in documents]),
            _moves=self._moves and Picked(self._moves, tuple(documents)),
        )

    def _joined_by_document(self) -> list[Tensor] | None:
        """For each document, the combination token of each text token; None without a combining module."""
        if self._folded is None or self._joined is None:
            return None
        counts = [int((part != COMBINATION).sum()) for part in self._folded.of_documents()]
        return list(self._joined.split(counts))

    def __getitem__(self, document: int) -> DocumentTrace:
        return DocumentTrace(self, document)

    @staticmethod
    def of(tokens: Tokens) -> Trace:
        """Begin the trace of a batch, ahead of its first layer."""
        return Trace(_moves=Moves(tokens.lengths, tokens.combination))

    def moves(self) -> Moves | None:
        """Into which row each token went; None behind a combining module, which leaves no row of any token."""
        return self._moves.now() if self._moves is not None and self._folded is None else None

    def record_layer(
        self, tokens: Tokens, served: KeyRows | None, kept: KeyRows | None = None, merging: Merging | None = None
    ) -> None:
        """Record the tokens after a layer.

        Args:
            tokens: those that it leaves.
            served: the keys that served in it; None: all of them.
            kept: the rows that it chose; None: all.
            merging: where the other rows went; None: they were dropped.
        """
        if self._folded is not None:  # a layer over combination tokens alone
            self.kept.append(tokens.lengths)
            return
        assert isinstance(self._moves, Moves), "a trace begins with `of`"
        self._moves.record(tokens, kept, merging)
        origin = tokens.origin.unsqueeze(0) if served is None else tokens.origin[served.rows]
        self._last = _Places(origin, tokens.lengths if served is None else served.lengths)
        self.kept.append(tuple(length - tokens.combination for length in self._last.lengths))

    def record_combining(self, before: Tokens, after: Tokens, joined: Tensor) -> None:
        """Record the step that folds the text of `before`; `joined` is the combination token of each text token."""
        self._folded, self._joined = _Places(before.origin.unsqueeze(0), before.lengths), joined
        self.kept.append(after.lengths)

    def survivors(self) -> list[list[int]]:
        """Positions of each document's text that are left after the last pruning, ascending; the union over heads."""
        places = self._last or self._folded
        if places is None:
            return []
        parts = (torch.unique(part) for part in places.of_documents())
        return [part[part != COMBINATION].tolist() for part in parts]

    def assignments(self) -> list[dict[int, int]] | None:
        """For each document, position -> combination token (0..m-1); None without a combining module."""
        joined = self._joined_by_document()
        if self._folded is None or joined is None:
            return None
        texts = [part[part != COMBINATION] for part in self._folded.of_documents()]
        return [dict(zip(text.tolist(), into.tolist(), strict=True)) for text, into in zip(texts, joined, strict=True)]


@dataclass(frozen=True)
class DocumentTrace:
    """One document's part of a batch's trace."""

    batch: Trace
    document: int

    @property
    def kept(self) -> tuple[int, ...]:
        """Tokens kept at every step."""
        return tuple(step[self.document] for step in self.batch.kept)

    @property
    def survivors(self) -> list[int]:
        """Positions left after the last pruning."""
        return self.batch.survivors()[self.document]

    @property
    def assignment(self) -> dict[int, int] | None:
        """Position -> combination token; None without a combining module."""
        every = self.batch.assignments()
        return None if every is None else every[self.document]
