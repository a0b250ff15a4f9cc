"""The attention that each key receives, the importance score of PTC section 3.1, from probabilities taken in blocks.

Fused attention returns no probabilities. Here they are computed once more (at inference they are all that is computed,
see backends.py): in place, in blocks of (document, head) pairs that stay in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Rows = slice | Sequence[int]
"""Queries whose attention the score needs: their rows, ascending, or `ALL`."""

ALL = slice(None)

Queries = Callable[[int], Rows]
"""A document's number of queries -> the rows of those whose attention the score needs."""

# Probabilities held at once, in elements. On CPU 4 MB of float32, for the cache: sixteen heads at 256 tokens, four at
# 512. A GPU wants much work in each call, and 256 MB are little of its memory.
_BLOCK_ELEMENTS, _BLOCK_ELEMENTS_GPU = 1 << 20, 1 << 26


@dataclass(frozen=True)
class Scoring:
    """The attention that a score is made of.

    Attributes:
        queries: whose attention counts.
        own: whether what a key receives from its own query counts. Where it does not, queries and keys are the same
            rows in the same order.
        attached: the gradient of what is made of it reaches queries and keys; every probability is kept for that.
    """

    queries: Queries
    own: bool = True
    attached: bool = False


@torch.no_grad()
def received_attention(q: Tensor, k: Tensor, rows: Rows, bias: Tensor | None = None, own: bool = True) -> Tensor:
    """Mean over the queries in `rows` of the attention each key receives.

    Args:
        q: [documents, H, n, d_head].
        k: [documents, H, k, d_head].
        rows: queries to look at, the same of every document.
        bias: on the logits, of four dimensions that broadcast to [documents, H, n, k], or None.
        own: as in `Scoring`.

    Returns:
        [documents, H, k] float32.
    """
    asked = range(q.shape[2])[rows] if isinstance(rows, slice) else rows
    q = q[:, :, rows]
    if bias is not None and bias.shape[2] > 1:
        bias = bias[:, :, rows]
    columns = q.new_zeros(len(q) * q.shape[1], k.shape[2], dtype=torch.float32)
    for block, some, probabilities in probability_blocks(q, k, bias):
        add_means(columns[block], probabilities, q.shape[2], None if own else asked[some])
    return columns.view(len(q), q.shape[1], -1)


def add_means(columns: Tensor, probabilities: Tensor, queries: int, own: Sequence[int] | None = None) -> None:
    """Add to the mean over all `queries` the part of some of them: columns [block, k], probabilities [block, n, k].

    With `own`, the key that is each query's own row, [n], that key gets nothing from it.
    """
    if probabilities.shape[1] == queries:
        torch.mean(probabilities, 1, out=columns)
    else:
        columns.add_(probabilities.sum(1), alpha=1 / queries)
    if own is not None:
        keys = torch.as_tensor(own, device=columns.device)
        given = probabilities.gather(2, keys.view(1, -1, 1).expand(len(probabilities), -1, 1)).squeeze(2)
        columns.index_add_(1, keys, given, alpha=-1 / queries)


def probability_blocks(q: Tensor, k: Tensor, bias: Tensor | None = None) -> Iterator[tuple[slice, slice, Tensor]]:
    """Softmax probabilities [block, n, k] float32, a block of the documents * H pairs at a time, with both slices.

    In documents that are too long for it, a block has some of the queries. All blocks are written to the same memory:
    use one before asking for the next. The logits are float32 throughout: rounded to bfloat16 before the softmax, near
    tokens would tie. A bias is added that broadcasts to [documents, H, n, k].
    """
    queries, keys = q.flatten(0, 1).float(), k.flatten(0, 1).float().transpose(1, 2)
    n, width, scale = q.shape[2], k.shape[2], q.shape[-1] ** -0.5
    most = _BLOCK_ELEMENTS if q.device.type == "cpu" else _BLOCK_ELEMENTS_GPU
    size = min(len(queries), max(1, most // (n * width)))
    at_once = min(n, max(1, most // width))
    held = queries.new_empty(size, at_once, width)
    added = None if bias is None else bias.float()
    for start in range(0, len(queries), size):
        block = slice(start, min(start + size, len(queries)))
        for first in range(0, n, at_once):
            rows = slice(first, min(first + at_once, n))
            logits = held[: block.stop - start, : rows.stop - first]
            with torch.autocast(q.device.type, enabled=False):
                if added is not None:
                    own = added.flatten(0, 1)[bias_rows(added, block, q.shape[1])]
                    logits.copy_(own if own.shape[1] == 1 else own[:, rows])
                beta = 0 if added is None else 1
                torch.baddbmm(logits, queries[block, rows], keys[block], beta=beta, alpha=scale, out=logits)
            yield block, rows, torch.softmax(logits, -1, out=logits)


def bias_rows(bias: Tensor, block: slice, heads: int) -> Tensor:
    """The rows of a bias [documents or 1, H or 1, n, k], its first two dimensions as one, for a block of pairs."""
    pairs = torch.arange(block.start, block.stop, device=bias.device)
    return pairs // heads % len(bias) * bias.shape[1] + pairs % heads % bias.shape[1]
