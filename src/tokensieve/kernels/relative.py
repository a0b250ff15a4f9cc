"""An additive bias on the logits of attention, by how far a key stands from a query in the document.

Positions are those in the whole document. Once tokens have left, documents of one length no longer share them; then
each is a call of its own, whose bias stays in the processor's cache. For eight documents of 512 tokens with 12 heads,
one tensor for all would be 100 MB, and its look-up would take half as long as attention itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tokensieve.tokens import COMBINATION


@dataclass(frozen=True)
class RelativeBias:
    """The bias of a batch.

    Attributes:
        table: [H, 2 L]: for a key that stands d behind its query (0 < L - 1 + d < 2 L - 1) the bias of each head, in
            column L - 1 + d. The last column is that of tokens without a position.
        query: [Tq] positions of the queries, COMBINATION where there is none.
        key: [S, Tk] positions of the keys; S is 1, or the number of heads.
    """

    table: Tensor
    query: Tensor
    key: Tensor

    def alike(self, query_lengths: Sequence[int], key_lengths: Sequence[int]) -> list[int]:
        """A number for each document; consecutive ones with the same positions have the same."""
        queries, keys = self.query.split(list(query_lengths)), self.key.split(list(key_lengths), dim=1)
        numbers = [0]
        for document in range(1, len(queries)):
            same = torch.equal(queries[document], queries[document - 1])
            same = same and torch.equal(keys[document], keys[document - 1])
            numbers.append(numbers[-1] + (not same))
        return numbers

    def between(self, queries: slice, keys: slice) -> Tensor:
        """The bias [H, n, k] of some rows of the queries and of the keys."""
        query, key = self.query[queries].unsqueeze(1), self.key[:, keys].unsqueeze(1)  # [n, 1], [S, 1, k]
        heads, columns = self.table.shape
        column = key - query + (columns // 2 - 1)
        column = column.masked_fill((key == COMBINATION) | (query == COMBINATION), columns - 1)
        if len(column) == 1:
            return self.table.index_select(1, column.flatten()).view(heads, *column.shape[1:])
        start = torch.arange(heads, device=column.device).view(-1, 1, 1) * columns
        return self.table.flatten().index_select(0, (column + start).flatten()).view(column.shape)
