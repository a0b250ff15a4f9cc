"""Attention within a window: a token sees those that stand at most so far from it, by their positions in the document.

Rows of a document are in the order of their positions, so all that a few neighbouring queries see lies in one short
stretch of the keys. Queries are taken in blocks, over document borders: a row's coordinate tells both its document and
its position. The stretches of all blocks are one batch of fused attention, with a mask. Time and memory grow with the
number of rows, and do not depend on the lengths of the documents.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.kernels.attend import attend
from tokensieve.tokens import COMBINATION

BLOCK = 64
"""Queries of a block: with fewer the products are small, with more most keys of a stretch are of no use to a query."""
_NOWHERE = 2**62


@dataclass(frozen=True)
class Rows:
    """Packed rows of documents.

    Attributes:
        position: [S, T] positions in the documents, ascending, COMBINATION for combination tokens, which come last; S
            is 1, or for keys the number of heads.
        lengths: rows of each document.
    """

    position: Tensor
    lengths: tuple[int, ...]

    def documents(self) -> Tensor:
        """The number of each row's document, [T]."""
        device = self.position.device
        counts = torch.tensor(self.lengths, device=device)
        return torch.arange(len(counts), device=device).repeat_interleave(counts, output_size=sum(self.lengths))


def attend_within(
    window: int,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    queries: Rows,
    keys: Rows | None,
    *,
    combination: int = 0,
    dropout: float = 0.0,
    sizes: Tensor | None = None,
) -> Tensor:
    """Attention of every query over the keys of its document that stand within the window.

    All queries see the combination tokens, and combination tokens see all of their document. A query that sees no key,
    as all of them were pruned, gets zeros.

    Args:
        window: largest distance, in tokens of the document before any left.
        query: [Tq, H, d_head].
        key: [Tk, H, d_head].
        value: [Tk, H, d_head].
        queries: where the queries stand.
        keys: where the keys stand; None: keys and values are of the same rows as the queries.
        combination: combination tokens at the end of each document, among its queries and its keys.
        dropout: probability on the attention weights.
        sizes: [Tk] how many keys each stands for (`attend`), where all heads have the same keys; None: one each.

    Returns:
        [Tq, H * d_head].
    """
    logs = None if sizes is None else sizes.log()
    if not combination:
        return _within(window, query, key, value, queries, keys, None, dropout, logs)
    keys = keys or queries
    if combination * len(queries.lengths) == len(query):
        return attend(query, key, value, queries.lengths, keys.lengths, dropout=dropout, backend="fused", sizes=sizes)[
            0
        ]
    text, own = (queries.position[0] != COMBINATION).nonzero().flatten(), keys.position[0] != COMBINATION
    context = query.new_empty(len(query), query[0].numel())
    added = _Added((~own).nonzero().flatten(), combination, queries.documents()[text])
    left = [_without(rows, combination) for rows in (queries, keys)]
    seen = _within(window, query[text], key, value, left[0], left[1], added, dropout, logs)
    context = context.index_copy(0, text, seen.to(context.dtype))
    folding = (queries.position[0] == COMBINATION).nonzero().flatten()
    lengths = (combination,) * len(queries.lengths)
    everywhere, _ = attend(
        query[folding], key, value, lengths, keys.lengths, dropout=dropout, backend="fused", sizes=sizes
    )
    return context.index_copy(0, folding, everywhere.to(context.dtype))


@dataclass(frozen=True)
class _Added:
    """The combination tokens among the keys, [B * number] rows, and the document of each text query."""

    rows: Tensor
    number: int
    documents: Tensor


def _without(rows: Rows, combination: int) -> Rows:
    """The text among some rows."""
    text = rows.position[0] != COMBINATION
    return Rows(rows.position[:, text], tuple(length - combination for length in rows.lengths))


def _within(
    window: int,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    queries: Rows,
    keys: Rows | None,
    added: _Added | None,
    dropout: float,
    logs: Tensor | None = None,
) -> Tensor:
    """Attention of text alone; with `added` every query also sees the combination tokens of its document.

    `logs` [Tk] are added to the logits.
    """
    if keys is not None and len(keys.position) > 1:
        assert logs is None, "heads keep keys of their own at site keys alone, where nothing is merged"
        return _of_heads(window, query, key, value, queries, keys, added, dropout)
    count = len(query)
    stride = int(max(queries.position.max(), 0 if keys is None else keys.position.max())) + window + 1
    at = queries.documents() * stride + queries.position[0]
    missing = -count % BLOCK  # rows that fill the last block; they see what its last row sees
    at = torch.cat([at, at[-1:].expand(missing)]).view(-1, BLOCK)
    if keys is None:
        stretch = BLOCK + 2 * window
        key, value = (_stretches(own, window, missing, stretch) for own in (key, value))
        seen_at = F.pad(at.flatten()[:count], (window, window + missing), value=_NOWHERE).unfold(0, stretch, BLOCK)
        mask = _near(at, seen_at, window)
        logs = None if logs is None else F.pad(logs, (window, window + missing)).unfold(0, stretch, BLOCK)
    else:
        rows, mask = _gathered(window, at, keys.documents() * stride + keys.position[0])
        if added is not None:  # text rows come first in each document, so they are found among all rows
            text = torch.ones(len(key), dtype=torch.bool, device=key.device).index_fill(0, added.rows, False)
            rows = text.nonzero().flatten()[rows]
            more, seen = _combination(added, missing)
            rows, mask = torch.cat([rows, more], 1), torch.cat([mask, seen], 2)
        logs = None if logs is None else logs[rows]
        shape = (*rows.shape, *key.shape[1:])
        key, value = (own.index_select(0, rows.flatten()).view(shape).transpose(1, 2) for own in (key, value))
    blocks = F.pad(query, (0, 0, 0, 0, 0, missing)).unflatten(0, (-1, BLOCK)).transpose(1, 2)
    if logs is not None:
        mask = torch.where(mask, logs.to(query.dtype).unsqueeze(1), -torch.inf)
    context = F.scaled_dot_product_attention(blocks, key, value, attn_mask=mask.unsqueeze(1), dropout_p=dropout)
    return context.transpose(1, 2).flatten(2).flatten(0, 1)[:count]


def _near(at: Tensor, seen_at: Tensor, window: int) -> Tensor:
    """Which keys of its stretch [blocks, W] each query [blocks, BLOCK] sees, [blocks, BLOCK, W] bool."""
    return (at.unsqueeze(2) - seen_at.unsqueeze(1)).abs() <= window


def _stretches(packed: Tensor, window: int, missing: int, stretch: int) -> Tensor:
    """The stretch of keys of every block, [blocks, H, W, d_head] of [T, H, d_head]; they overlap in memory.

    Positions grow by one a row or more, so no token that is in the window is more rows away than it is wide.
    """
    padded = F.pad(packed, (0, 0, 0, 0, window, window + missing))
    return padded.unfold(0, stretch, BLOCK).transpose(2, 3)


def _gathered(window: int, at: Tensor, key_at: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of the keys in each block's stretch [blocks, W], and which of them a query sees, [blocks, BLOCK, W]."""
    start = torch.searchsorted(key_at, at[:, 0] - window)
    end = torch.searchsorted(key_at, at[:, -1] + window, right=True)
    width = max(1, int((end - start).max()))
    rows = start.unsqueeze(1) + torch.arange(width, device=at.device)
    beyond = F.pad(key_at, (0, width), value=_NOWHERE)
    return rows.clamp(max=len(key_at) - 1), _near(at, beyond[rows], window)


def _combination(added: _Added, missing: int) -> tuple[Tensor, Tensor]:
    """The combination tokens of the documents in each block: rows [blocks, C], and which a query sees."""
    own = added.documents
    own = torch.cat([own, own[-1:].expand(missing)]).view(-1, BLOCK)
    widest = int((own[:, -1] - own[:, 0]).max()) + 1
    document = own[:, :1] + torch.arange(widest, device=own.device)
    seen = document.repeat_interleave(added.number, dim=1)
    place = document.unsqueeze(2) * added.number + torch.arange(added.number, device=own.device)
    return added.rows[place.flatten(1).clamp(max=len(added.rows) - 1)], own.unsqueeze(2) == seen.unsqueeze(1)


def _of_heads(
    window: int,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    queries: Rows,
    keys: Rows,
    added: _Added | None,
    dropout: float,
) -> Tensor:
    """Attention where every head keeps keys of its own: the heads of a document are taken as documents."""
    count, heads, width = query.shape
    query, key, value = (own.transpose(0, 1) for own in (query, key, value))
    by_head = Rows(queries.position.repeat(1, heads), queries.lengths * heads)
    keys_by_head = Rows(keys.position.flatten().unsqueeze(0), keys.lengths * heads)
    if added is not None:
        head = torch.arange(heads, device=query.device).unsqueeze(1)
        rows = (added.rows + head * key.shape[1]).flatten()
        documents = (added.documents + head * len(queries.lengths)).flatten()
        added = replace(added, rows=rows, documents=documents)
    query, key, value = (own.flatten(0, 1).unsqueeze(1) for own in (query, key, value))
    context = _within(window, query, key, value, by_head, keys_by_head, added, dropout)
    return context.view(heads, count, width).transpose(0, 1).flatten(1)


def keys_seen(window: int, keys: float) -> float:
    """How many of the `keys` text keys of a document a query is multiplied with, at most."""
    return min(keys, BLOCK + 2 * window)
