"""The choice of a fixed number of tokens by score, which all selections share."""

from __future__ import annotations

import torch
from torch import Tensor

from tokensieve.reduce.contract import Scored


def keep_top(scored: Scored, counts: Tensor) -> Tensor:
    """Keep `counts` [B, 1 or S] tokens: the protected ones, then the highest scores; of equals the lower position.

    Returns:
        [B, S, L] bool.
    """
    return ranks(scored) < counts.unsqueeze(-1)


def ranks(scored: Scored) -> Tensor:
    """The rank of each token in its document, [B, S, L] int64 from 0: protected ones, then by score, highest first."""
    order = scored.scores.masked_fill(scored.protected, torch.inf)  # tokens that are gone come last
    ranked = order.sort(dim=-1, descending=True, stable=True).indices
    return torch.empty_like(ranked).scatter_(
        -1, ranked, torch.arange(ranked.shape[-1], device=ranked.device).expand_as(ranked)
    )
