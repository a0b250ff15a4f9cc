"""attend(): attention of packed documents, each over its own keys, with the attention a key receives where asked.

Fused attention returns no probabilities, so the importance score (PTC section 3.1) needs an explicit softmax. It is
taken in blocks of heads small enough for the processor's cache; at inference the same probabilities give the context.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.kernels.ragged import runs

# Probabilities held at once, in elements: 4 MB of float32. Sixteen heads at 256 tokens, four at 512.
_BLOCK_ELEMENTS = 1 << 20


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_lengths: Sequence[int],
    key_lengths: Sequence[int],
    *,
    dropout: float = 0.0,
    received: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention of every document's queries over its own keys; nothing is padded.

    Args:
        query: [Tq, H, d_head] packed queries.
        key: [Tk, H, d_head] packed keys; a pruned key is not among them.
        value: [Tk, H, d_head] packed values.
        query_lengths: queries of each document.
        key_lengths: keys of each document.
        dropout: probability on the attention weights (the score is taken before it).
        received: also return the attention every key receives.

    Returns:
        context [Tq, H * d_head], and [H, Tk] float32 column means of the probabilities over the document's queries
        (detached), or None.
    """
    contexts, columns, q_start, k_start = [], [], 0, 0
    for run in runs(query_lengths, key_lengths):
        n, k = run.lengths
        q = _heads_first(query, q_start, run.documents, n)
        ks = _heads_first(key, k_start, run.documents, k)
        vs = _heads_first(value, k_start, run.documents, k)
        context, column = _attend_run(q, ks, vs, dropout, received)
        contexts.append(context.transpose(1, 2).reshape(run.documents * n, -1))
        if column is not None:
            columns.append(column.transpose(0, 1).flatten(1))  # [documents, H, k] -> [H, documents * k]
        q_start, k_start = q_start + run.documents * n, k_start + run.documents * k
    return torch.cat(contexts), torch.cat(columns, dim=1) if received else None


def _heads_first(packed: Tensor, start: int, documents: int, length: int) -> Tensor:
    """Rows of a run as [documents, H, length, d_head], a view."""
    rows = packed[start : start + documents * length]
    return torch.unflatten(rows, 0, (documents, length)).transpose(1, 2)


def _attend_run(q: Tensor, k: Tensor, v: Tensor, dropout: float, received: bool) -> tuple[Tensor, Tensor | None]:
    if not received:
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout), None
    if torch.is_grad_enabled() or dropout > 0:
        # Training: fused attention keeps no probabilities for the backward pass; the score is a pass of its own.
        context = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        return context, _explicit(q.detach(), k.detach(), None)[1]
    return _explicit(q, k, v)


@torch.no_grad()
def _explicit(q: Tensor, k: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor]:
    """Context (empty without v) and received attention [documents, H, k], a block of documents and heads at a time."""
    documents, heads, n, _ = q.shape
    flat = [x.flatten(0, 1) if x is not None else None for x in (q, k, v)]  # [documents * H, ...]
    block = max(1, _BLOCK_ELEMENTS // (n * k.shape[2]))
    contexts, columns = [], []
    for start in range(0, documents * heads, block):
        qs, ks, vs = (x[start : start + block] if x is not None else None for x in flat)
        assert qs is not None and ks is not None
        probabilities = (qs @ ks.transpose(1, 2)).float().mul_(q.shape[-1] ** -0.5).softmax(-1)
        columns.append(probabilities.mean(1))
        if vs is not None:
            contexts.append(probabilities.to(vs.dtype) @ vs)
    received = torch.cat(columns).unflatten(0, (documents, heads))
    return (torch.cat(contexts).unflatten(0, (documents, heads)) if contexts else q), received
