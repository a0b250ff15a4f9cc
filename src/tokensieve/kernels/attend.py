"""attend(): attention of packed documents, each over its own keys, with the attention a key receives where asked.

Fused attention returns no probabilities, so the importance score (PTC section 3.1) needs an explicit softmax. It is
taken in blocks of heads small enough for the processor's cache; at inference the same probabilities give the context.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
    """A run of equal lengths: context [documents, H, n, d_head], received attention [documents, H, k] where asked."""
    if received and dropout == 0 and not torch.is_grad_enabled():
        return _explicit_attention(q, k, v)
    # Training: fused attention keeps no probabilities for the backward pass; the score is a pass of its own.
    context = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
    return context, received_attention(q.detach(), k.detach()) if received else None


@torch.no_grad()
def received_attention(q: Tensor, k: Tensor) -> Tensor:
    """Mean over the queries of the attention each key receives: [documents, H, k] float32, for [documents, H, ., .]."""
    columns = [probabilities.mean(1) for _, probabilities in _probability_blocks(q, k)]
    return torch.unflatten(torch.cat(columns), 0, q.shape[:2])


@torch.no_grad()
def _explicit_attention(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    contexts, columns, values = [], [], v.flatten(0, 1)
    for block, probabilities in _probability_blocks(q, k):
        columns.append(probabilities.mean(1))
        contexts.append(probabilities.to(v.dtype) @ values[block])
    context, received = (torch.unflatten(torch.cat(parts), 0, q.shape[:2]) for parts in (contexts, columns))
    return context, received


def _probability_blocks(q: Tensor, k: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Softmax probabilities [block, n, k] float32, a block of (document, head) pairs at a time.

    The logits are float32 throughout: rounded to bfloat16 before the softmax, near tokens would tie.
    """
    queries, keys = q.flatten(0, 1).float(), k.flatten(0, 1).float().transpose(1, 2)
    size = max(1, _BLOCK_ELEMENTS // (q.shape[2] * k.shape[2]))
    for start in range(0, len(queries), size):
        block = slice(start, start + size)
        with torch.autocast(q.device.type, enabled=False):
            logits = queries[block] @ keys[block]
        yield block, logits.mul_(q.shape[-1] ** -0.5).softmax(-1)
