"""Tokens: the ragged batch. All documents' tokens lie in one long tensor, without padding."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

COMBINATION = -1
"""The origin of a combination token, which stands at no position of its document."""


@dataclass(frozen=True)
class Tokens:
    """A batch of B documents as T packed rows: each document's text tokens, then its combination tokens.

    Attributes:
        values: [T, d] hidden states.
        lengths: rows of each document, combination tokens included; sums to T.
        origin: [T] int64 position of the row in its document, COMBINATION for a combination token.
        protected: [T] bool, rows that no selection may remove (special tokens).
        protected_counts: protected rows of each document; they never leave, so the count holds in every layer.
        combination: m, combination tokens at the end of each document (0 before they join, or where there are none).
        sizes: [T] float32, tokens that each row stands for; None where nothing was merged: one each.
        scores: [T] float32, ready-made scores that the caller gave, 0 for combination tokens; None: none were given.
        weights: [T], how far each row is still there, in [0, 1]; None: fully. Only where gates are trained
            (`reduce.gate`): elsewhere rows are there, or are gone.
        key_weights: [T], how far each row still counts as a key, in the same way.
        penalty: [B], what the gates of the layers so far add to the loss of each document; None: there were none.
    """

    values: Tensor
    lengths: tuple[int, ...]
    origin: Tensor
    protected: Tensor
    protected_counts: tuple[int, ...]
    combination: int = 0
    sizes: Tensor | None = None
    scores: Tensor | None = None
    weights: Tensor | None = None
    key_weights: Tensor | None = None
    penalty: Tensor | None = None

    @property
    def shares(self) -> Tensor | None:
        """How much each row counts in a mean of its document, [T]; None: all alike."""
        if self.weights is None:
            return self.sizes
        there = self.weights + 1e-12  # a document has a mean even if all its gates are closed
        return there if self.sizes is None else there * self.sizes

    @property
    def text_lengths(self) -> tuple[int, ...]:
        """Text tokens of each document, special tokens included."""
        return tuple(length - self.combination for length in self.lengths)

    def with_values(self, values: Tensor) -> Tokens:
        """The same tokens with new hidden states [T, d']."""
        return replace(self, values=values)

    def keep(self, rows: Tensor, lengths: tuple[int, ...]) -> Tokens:
        """Keep only these rows [T'], in their order; `lengths` are the rows that each document keeps."""
        return replace(
            self,
            values=self.values.index_select(0, rows),
            lengths=lengths,
            origin=self.origin.index_select(0, rows),
            protected=self.protected.index_select(0, rows),
            sizes=None if self.sizes is None else self.sizes.index_select(0, rows),
            scores=None if self.scores is None else self.scores.index_select(0, rows),
        )

    def join(self, combination: Tensor) -> Tokens:
        """Append the m combination tokens [m, d] to every document; they carry no position and no protection."""
        m, documents, total, scores = len(combination), len(self.lengths), len(self.values), self.scores
        added = torch.arange(total, total + m)
        pieces = [
            piece for text in torch.arange(total).split(list(self.lengths)) for piece in (text, added)
        ]  # rows of text and combination tokens in turn
        rows = torch.cat(pieces).to(self.values.device)
        origin = torch.cat([self.origin, self.origin.new_full((m,), COMBINATION)])
        protected = torch.cat([self.protected, self.protected.new_zeros(m)])
        assert len(rows) == total + documents * m
        return replace(
            self,
            values=torch.cat([self.values, combination.to(self.values.dtype)]).index_select(0, rows),
            lengths=tuple(length + m for length in self.lengths),
            origin=origin.index_select(0, rows),
            protected=protected.index_select(0, rows),
            combination=m,
            scores=None if scores is None else torch.cat([scores, scores.new_zeros(m)]).index_select(0, rows),
        )

    def only_combination(self, values: Tensor) -> Tokens:
        """The combination tokens alone, after combining: values [B * m, d], and no text."""
        documents = len(self.lengths)
        m = len(values) // documents
        return Tokens(
            values=values,
            lengths=(m,) * documents,
            origin=self.origin.new_full((documents * m,), COMBINATION),
            protected=self.protected.new_zeros(documents * m),
            protected_counts=(0,) * documents,
            combination=m,
        )


def pack(padded: Tensor, mask: Tensor) -> Tensor:
    """The rows of padded [B, L, ...] where mask [B, L] is set, in order: [T, ...]."""
    return padded[mask]


def unpack(packed: Tensor, lengths: tuple[int, ...], fill: float = 0.0) -> Tensor:
    """Packed rows [T, ...] as a right-padded [B, max length, ...] tensor, filled with `fill`."""
    return torch.nn.utils.rnn.pad_sequence(list(packed.split(list(lengths))), batch_first=True, padding_value=fill)
