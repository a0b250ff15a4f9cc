"""CATP on a Q-Former of transformers: fewer query tokens go on to the language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tokensieve.errors import InputError
from tokensieve.multimodal.rank_votes import keep_best, rank_votes
from tokensieve.multimodal.signals import attention_of, projected


@torch.no_grad()
def reduce_query_tokens(
    qformer: nn.Module, inputs: Mapping[str, Any], keep: int, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Run a Q-Former and keep the query tokens with the most rank votes of its last cross-attention.

    Args:
        qformer: `Blip2QFormerModel` or `InstructBlipQFormerModel`.
        inputs: its keyword arguments, with `query_embeds` [B, Q, d] and `encoder_hidden_states` [B, K, e].
        keep: how many of the Q query tokens stay.
        weights: [B, K], as in `rank_votes`.

    Returns:
        The kept query tokens [B, keep, d] in their order, and their places [B, keep].

    Raises:
        InputError: no cross-attention, no image, or shapes that do not belong together.
        ConfigError: `keep` is out of range.
    """
    queries, image = inputs.get("query_embeds"), inputs.get("encoder_hidden_states")
    if queries is None or image is None:
        raise InputError("inputs: give query_embeds and encoder_hidden_states, which the query tokens attend to")
    with projected(qformer, "crossattention") as seen:
        output = qformer(**inputs).last_hidden_state[:, : queries.shape[1]]
    assert seen.query is not None and seen.key is not None
    mask, heads = inputs.get("encoder_attention_mask"), qformer.config.num_attention_heads  # type: ignore[union-attr]
    there = None if mask is None else mask.bool()
    attention = attention_of(seen.query, seen.key, heads, there)  # type: ignore[arg-type]
    if there is not None:  # padding has no vote
        weights = there.float() if weights is None else weights * there
    scores = rank_votes(attention, weights)
    return keep_best(output, scores, keep)
