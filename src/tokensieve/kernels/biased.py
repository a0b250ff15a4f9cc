"""Attention with a bias that is trained, which keeps no probabilities for the backward pass.

torch's fused attention takes a bias and has no gradient for it. Its plain one has, and keeps the probabilities of every
layer: 200 MB for 16 documents of 512 tokens with 12 heads. Here they are computed once more, in blocks.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.kernels.received import bias_rows, probability_blocks


def biased_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Context [documents, H, n, d_head] of q [documents, H, n, d_head] and k, v [documents, H, k, d_head].

    Args:
        q: queries.
        k: keys.
        v: values.
        bias: on the logits, of four dimensions that broadcast to [documents, H, n, k]; it gets a gradient.
    """
    context: Tensor = _Biased.apply(q, k, v, bias)  # type: ignore[no-untyped-call]
    return context


class _Biased(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        context = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        ctx.save_for_backward(q, k, v, bias, context)
        return context

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        q, k, v, bias, context = ctx.saved_tensors
        of_context = grads[0].float().flatten(0, 1)
        # The softmax's gradient takes from each query's row what is common to it.
        common = (of_context * context.float().flatten(0, 1)).sum(-1, keepdim=True)
        queries, keys, values = (own.float().flatten(0, 1) for own in (q, k, v))
        of_q, of_k, of_v = (torch.zeros_like(own) for own in (queries, keys, values))
        of_bias, scale = bias.new_zeros(bias.shape, dtype=torch.float32), q.shape[-1] ** -0.5
        for block, rows, probabilities in probability_blocks(q, k, bias):
            own, keys_seen = of_context[block, rows], keys[block]
            of_v[block] += probabilities.transpose(1, 2) @ own
            inner = torch.baddbmm(common[block, rows], own, values[block].transpose(1, 2), beta=-1)
            of_logits = probabilities.mul_(inner)
            of_q[block, rows] = (of_logits @ keys_seen).mul_(scale)
            of_k[block] += (of_logits.transpose(1, 2) @ queries[block, rows]).mul_(scale)
            own_rows = bias_rows(bias, block, q.shape[1])
            if bias.shape[2] == 1:
                of_bias.flatten(0, 1).index_add_(0, own_rows, of_logits.sum(1, keepdim=True))
            else:
                of_bias.flatten(0, 1)[:, rows].index_add_(0, own_rows, of_logits)
        shaped = (of.view_as(own).to(own.dtype) for of, own in ((of_q, q), (of_k, k), (of_v, v)))
        return (*shaped, of_bias.to(bias.dtype))
