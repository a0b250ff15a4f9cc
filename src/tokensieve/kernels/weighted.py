"""Attention over keys that each have a weight in [0, 1], in training alone: a softmax in which a key counts that much.

Its gradient tells what a key is worth that a query does not see, as its weight is 0. All probabilities are kept for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.kernels.relative import RelativeBias

_LARGEST = 30.0  # of the logits of keys without weight, above the largest of the others: their exponentials stay finite


@dataclass(frozen=True)
class Near:
    """A window: rows see those that stand at most so far from them.

    Attributes:
        window: largest distance, in tokens of the document.
        position: [T] of the rows.
    """

    window: int
    position: Tensor

    def between(self, rows: slice) -> Tensor:
        """Which rows see which among some rows of a document, [n, n] bool."""
        at = self.position[rows]
        return (at.unsqueeze(1) - at).abs() <= self.window


def weighted_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: Sequence[int],
    weights: Tensor,
    *,
    dropout: float = 0.0,
    bias: RelativeBias | None = None,
    near: Near | None = None,
) -> Tensor:
    """Attention of every document's rows over each other, a key k counting w_k exp(logit) in the softmax.

    A query all of whose keys have weight 0 gets zeros.

    Args:
        query: [T, H, d_head].
        key: [T, H, d_head].
        value: [T, H, d_head].
        lengths: rows of each document.
        weights: [T] of the keys, in [0, 1].
        dropout: probability on the attention weights.
        bias: what is added to the logits; None: nothing is.
        near: which keys a query sees; None: all of its document.

    Returns:
        [T, H * d_head].
    """
    contexts, start = [], 0
    for length in lengths:
        rows = slice(start, start + length)
        q, k, v = (part[rows].transpose(0, 1) for part in (query, key, value))
        with torch.autocast(query.device.type, enabled=False):
            logits = q.float() @ k.float().transpose(1, 2) * q.shape[-1] ** -0.5
            if bias is not None:
                logits = logits + bias.between(rows, rows).float()
            if near is not None:
                logits = logits.masked_fill(~near.between(rows), -torch.inf)
            probabilities = _weighted_softmax(logits, weights[rows].float())
        context = F.dropout(probabilities, dropout).to(v.dtype) @ v
        contexts.append(context.transpose(0, 1).flatten(1))
        start += length
    return torch.cat(contexts)


def _weighted_softmax(logits: Tensor, weights: Tensor) -> Tensor:
    """[H, n, k] of logits [H, n, k], and weights [k] that are not all 0 where any key is to be seen."""
    seen = logits.detach().masked_fill(weights.detach() == 0, -torch.inf).amax(-1, keepdim=True)
    seen = torch.where(seen.isfinite(), seen, 0.0)
    counted = (logits - seen).clamp(max=_LARGEST).exp() * weights
    return counted / counted.sum(-1, keepdim=True).clamp(min=torch.finfo(counted.dtype).tiny)
