"""The choice of the tokens with the highest scores, of a fixed number or of those that reach something."""

from __future__ import annotations

import torch
from torch import Tensor

from tokensieve.reduce.contract import Scored


def ranks(scored: Scored) -> Tensor:
    """The rank [B, S, L] of each token in its document, from 0: protected ones come first, then the highest scores.

    Of equal scores the lower position comes first.
    """
    order = scored.scores.masked_fill(scored.protected, torch.inf)  # tokens that are gone come last
    ranked = order.sort(dim=-1, descending=True, stable=True).indices
    places = torch.arange(ranked.shape[-1], device=ranked.device).expand_as(ranked)
    return torch.empty_like(ranked).scatter_(-1, ranked, places)


def keep_top(scored: Scored, counts: Tensor) -> Tensor:
    """Keep `counts` [B, 1 or S] tokens: the protected ones, then the highest scores; of equals the lower position.

    Returns:
        [B, S, L] bool.
    """
    return ranks(scored) < counts.unsqueeze(-1)


def keep_reaching(scored: Scored, reach: Tensor, fewest: int) -> Tensor:
    """Keep the protected tokens and those of the others that `reach` [B, S, L] marks, and no fewer than `fewest`.

    Where fewer are left, those with the next highest scores stay as well. If heads keep sets of their own, each keeps
    as many as the head that would keep most.

    Returns:
        [B, S, L] bool.
    """
    free = scored.alive & ~scored.protected
    counts = (scored.alive & ~free).sum(-1) + (reach & free).sum(-1)  # [B, S]
    counts = torch.maximum(counts, scored.alive.sum(-1).clamp(max=fewest))
    return keep_top(scored, counts.amax(-1, keepdim=True).clamp(min=1))
