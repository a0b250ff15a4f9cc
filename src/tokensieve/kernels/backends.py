"""Ways to compute attention of documents of equal lengths, with the attention a key receives where a score wants it.

A backend is one function; its name in the model's config finds it here. All give the same numbers but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.errors import ConfigError
from tokensieve.kernels.biased import biased_attention
from tokensieve.kernels.received import ALL, Rows, add_means, probability_blocks, received_attention

Backend = Callable[..., tuple[Tensor, Tensor | None]]
"""(q [documents, H, n, d_head], k and v [documents, H, k, d_head], dropout on the probabilities, rows of the queries
that the score looks at or None, bias of four dimensions that broadcasts to the logits [documents, H, n, k] or None;
and, where what a key receives from its own query is left out, own=False) -> context [documents, H, n, d_head], received
attention [documents, H, k] or None."""


def fused(
    q: Tensor, k: Tensor, v: Tensor, dropout: float, rows: Rows | None, bias: Tensor | None = None, own: bool = True
) -> tuple[Tensor, Tensor | None]:
    """torch's fused attention, which keeps no probabilities for the backward pass; the score is a pass of its own."""
    if bias is not None and bias.requires_grad and dropout == 0 and torch.is_grad_enabled():
        context = biased_attention(q, k, v, bias)
    else:
        mask = None if bias is None else bias.to(q.dtype)
        context = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    if rows is None:
        return context, None
    return context, received_attention(q.detach(), k.detach(), rows, None if bias is None else bias.detach(), own)


def blocked(
    q: Tensor, k: Tensor, v: Tensor, dropout: float, rows: Rows | None, bias: Tensor | None = None, own: bool = True
) -> tuple[Tensor, Tensor | None]:
    """One softmax in blocks gives context and score where all queries are scored and nothing is trained; else fused."""
    trained = torch.is_grad_enabled() and any(own is not None and own.requires_grad for own in (q, k, v, bias))
    if rows != ALL or dropout > 0 or trained:
        return fused(q, k, v, dropout, rows, bias, own)
    values = v.flatten(0, 1)
    context = v.new_empty(len(values), *q.shape[2:])
    columns = q.new_zeros(len(values), k.shape[2], dtype=torch.float32)
    for block, some, probabilities in probability_blocks(q, k, bias):
        add_means(columns[block], probabilities, q.shape[2], None if own else range(q.shape[2])[some])
        torch.bmm(probabilities.to(v.dtype), values[block], out=context[block, some])
    return torch.unflatten(context, 0, q.shape[:2]), columns.view(*q.shape[:2], -1)


def eager(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout: float,
    rows: Rows | None,
    bias: Tensor | None = None,
    own: bool = True,
    attached: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention as it is defined; in training the n x k probabilities are kept. `attached`: the score has gradients."""
    with torch.autocast(q.device.type, enabled=False):  # or the score would be one of rounded logits
        logits = q.float() @ k.float().transpose(2, 3) * q.shape[-1] ** -0.5
        probabilities = (logits if bias is None else logits + bias.float()).softmax(-1)
    context = F.dropout(probabilities, dropout).to(v.dtype) @ v
    if rows is None:
        return context, None
    counted = probabilities if attached else probabilities.detach()
    if not own:
        counted = counted * (1 - torch.eye(q.shape[2], k.shape[2], dtype=counted.dtype, device=counted.device))
    return context, counted[:, :, rows].mean(2)


BACKENDS: dict[str, Backend] = {"blocked": blocked, "fused": fused, "eager": eager}


def resolve_backend(name: str) -> str:
    """The backend that a setting means; "auto" is "blocked".

    Raises:
        ConfigError: no such backend.
    """
    if name == "auto":
        return "blocked"
    if name not in BACKENDS:
        raise ConfigError(f"attention_backend={name!r}: choose one of auto, {', '.join(BACKENDS)}")
    return name
