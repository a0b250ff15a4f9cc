"""The attention of a layer as a graph: the rows of a document are its nodes, and each gives its attention to all.

Fused attention keeps no probabilities. They are computed once more for the few layers whose score needs all of them,
for some documents at a time, each by itself and without padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from tokensieve.kernels.attend import heads_first, logit_bias
from tokensieve.kernels.ragged import runs
from tokensieve.kernels.relative import RelativeBias

# Probabilities held at once, in elements: 16 MB of float32 on CPU, 256 MB on a GPU. A longer document has those of one
# head at a time, 4 n² bytes: 268 MB for 8,192 tokens.
_ELEMENTS, _ELEMENTS_GPU = 1 << 22, 1 << 26


@dataclass(frozen=True)
class Graph:
    """Queries and keys of a batch, of which every row is both.

    Attributes:
        query: [T, H, d_head] packed queries, as attention takes them.
        key: [T, H, d_head] packed keys, in the same way.
        lengths: rows of each document.
        exempt: for each document, whether nothing is asked of it.
        bias: what is added to the logits; None: nothing is.
        sizes: [T], tokens that each key stands for in attention; None: one each.
    """

    query: Tensor
    key: Tensor
    lengths: tuple[int, ...]
    exempt: tuple[bool, ...]
    bias: RelativeBias | None = None
    sizes: Tensor | None = None

    def documents(self) -> Iterator[tuple[slice, slice, Votes]]:
        """Consecutive documents of one length that are not exempt: their numbers, their rows, and their votes."""
        most = _ELEMENTS if self.query.device.type == "cpu" else _ELEMENTS_GPU
        alike = [0] * len(self.lengths) if self.bias is None else self.bias.alike(self.lengths, self.lengths)
        logs, start, number = None if self.sizes is None else self.sizes.log(), 0, 0
        for run in runs(self.lengths, self.exempt, alike):
            length, exempt, _ = run.lengths
            together = max(1, most // (self.query.shape[1] * length**2))
            for first in range(0, 0 if exempt else run.documents, together):
                part = run._replace(documents=min(together, run.documents - first), lengths=(length, length))
                begin = start + first * length
                q, k = (heads_first(own, begin, part.documents, length) for own in (self.query, self.key))
                yield (
                    slice(number + first, number + first + part.documents),
                    slice(begin, begin + part.documents * length),
                    Votes(q, k, logit_bias(self.bias, logs, begin, begin, part), most),
                )
            start, number = start + run.documents * length, number + run.documents


@dataclass(frozen=True)
class Votes:
    """What the rows of some documents of one length give each other, by their attention.

    Attributes:
        query: [D, H, n, d_head].
        key: [D, H, n, d_head].
        bias: on the logits, of four dimensions that broadcast to [D, H, n, n], or None.
        most: probabilities that may be held at once, in elements.
    """

    query: Tensor
    key: Tensor
    bias: Tensor | None
    most: int

    @torch.no_grad()
    def count(self, start: Tensor, rounds: int, among: Tensor | None = None) -> Tensor:
        """What each row holds after some rounds, in each of which every row gives away what it held: [D, H, n] float32.

        A row gives by its attention, so that s <- A^T s: the power iteration of page rank, whose sum stays the same.

        Args:
            start: [D, n], what each row holds at first.
            rounds: number of rounds.
            among: [D, n] bool, the rows that take part; attention is shared out among them alone. None: all.
        """
        documents, heads, length, _ = self.query.shape
        found = self.query.new_empty(documents, heads, length, dtype=torch.float32)
        there = None if among is None else among.float().view(documents, 1, length, 1)
        begun = start.float().view(documents, 1, 1, length)
        for part, given in self._given():
            held = begun.expand(-1, given.shape[1], -1, -1)
            if there is None:
                for _ in range(rounds):
                    held = held @ given
            else:
                across, along = there, there.transpose(2, 3)
                parts = (given @ across).clamp(min=torch.finfo(torch.float32).tiny).transpose(2, 3)
                held = held * along
                for _ in range(rounds):
                    held = ((held / parts) @ given) * along
            found[:, part] = held.squeeze(2)
        return found

    @property
    def keys(self) -> Tensor:
        """The key of each row, [D, n, H * d_head]: those of all heads, one behind the other."""
        return self.key.transpose(1, 2).flatten(2)

    def _given(self) -> Iterator[tuple[slice, Tensor]]:
        """The probabilities [D, some, n, n] of some heads at a time; those of all are kept for the next call."""
        documents, heads, length, _ = self.query.shape
        if documents * heads * length**2 <= self.most:
            yield slice(0, heads), self._of_all_heads
            return
        for head in range(heads):
            yield slice(head, head + 1), self._probabilities(slice(head, head + 1))

    @cached_property
    def _of_all_heads(self) -> Tensor:
        return self._probabilities(slice(0, self.query.shape[1]))

    def _probabilities(self, heads: slice) -> Tensor:
        """Softmax of the float32 logits of some heads; coarser ones would make near rows equal."""
        query, key = self.query[:, heads].float(), self.key[:, heads].float()
        with torch.autocast(query.device.type, enabled=False):
            logits = query @ key.transpose(2, 3)
            logits.mul_(self.query.shape[-1] ** -0.5)
            if self.bias is not None:
                logits.add_(self.bias if self.bias.shape[1] == 1 else self.bias[:, heads])
            return torch.softmax(logits, -1, out=logits)
