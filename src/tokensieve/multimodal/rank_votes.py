"""CATP: query tokens are ranked by every head and image token, and those with the most votes stay.

Source: Cross-Attention Token Pruning (Liao et al., IEEE CAI 2025). Each column of the cross-attention ranks the
queries, and a query's score is the sum of its ranks. The variant with weights multiplies the *ranks*: a positive weight
ahead of the ranking would change nothing. No accuracy is claimed here; see docs/methods/catp.md.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.checks import check_value, one_of, whole
from tokensieve.errors import InputError

Scaling = Literal["softmax", "norm"]


@torch.no_grad()
def rank_votes(attention: Tensor, weights: Tensor | None = None) -> Tensor:
    """Score the query tokens by their ranks in each column: [B, Q] float32, or [Q] for one image.

    In a column the lowest query gets 0 votes and the highest Q - 1; equal ones share their ranks.

    Args:
        attention: [B, H, Q, K] or [H, Q, K], what each query gives to each image token.
        weights: [B, K] or [K] of 0 or more, how much the ranks by an image token count (`image_weights`); None: all
            alike. A weight of 0 leaves an image token out, such as padding.

    Raises:
        InputError: other shapes, a weight below 0, or numbers that are not finite.
    """
    if attention.dim() not in (3, 4) or 0 in attention.shape:
        raise InputError(f"attention {list(attention.shape)}: give [B, H, Q, K], or [H, Q, K] of one image")
    image = attention.shape[:-3]
    if weights is not None and weights.shape != (*image, attention.shape[-1]):
        raise InputError(
            f"weights {list(weights.shape)} with attention {list(attention.shape)}: give one for each image token, "
            f"{[*image, attention.shape[-1]]}"
        )
    if not attention.isfinite().all() or (weights is not None and not (weights.isfinite() & (weights >= 0)).all()):
        raise InputError("attention or weights: give finite numbers, and weights of 0 or more")
    ranks = _ranks(attention.float())
    if weights is not None:
        ranks = ranks * weights.float().unsqueeze(-2).unsqueeze(-2)
    return ranks.sum((-3, -1))


def _ranks(attention: Tensor) -> Tensor:
    """The rank of each query among those of its column, from 0; the mean rank where some are equal."""
    columns = attention.transpose(-1, -2).contiguous()
    ordered = columns.sort(dim=-1).values
    below = torch.searchsorted(ordered, columns, right=False)
    not_above = torch.searchsorted(ordered, columns, right=True)
    return ((below + not_above - 1).float() / 2).transpose(-1, -2)


def image_weights(received: Tensor, scaling: Scaling = "softmax") -> Tensor:
    """Weights of image tokens, [..., K] float32, from what each receives in the vision tower's last self-attention.

    Args:
        received: [..., K], column sums of that attention over its queries, or any other importance of image tokens.
        scaling: their "softmax", or divided by their Euclidean "norm".

    Raises:
        ConfigError: no such scaling.
    """
    check_value("scaling", scaling, one_of(get_args(Scaling)))
    return received.float().softmax(-1) if scaling == "softmax" else F.normalize(received.float(), dim=-1)


@torch.no_grad()
def keep_best(tokens: Tensor, scores: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """The query tokens with the highest scores, in their order: [B, keep, d], and their places [B, keep].

    Of equal scores the lower place stays.

    Args:
        tokens: [B, Q, d].
        scores: [B, Q].
        keep: how many stay, 1 to Q.

    Raises:
        InputError: other shapes.
        ConfigError: `keep` is out of range.
    """
    if tokens.dim() != 3 or scores.shape != tokens.shape[:2]:
        raise InputError(f"tokens {list(tokens.shape)} with scores {list(scores.shape)}: give [B, Q, d] and [B, Q]")
    check_value("keep", keep, whole(1, tokens.shape[1]))
    places = scores.sort(dim=1, descending=True, stable=True).indices[:, :keep].sort(1).values
    return tokens.gather(1, places.unsqueeze(2).expand(-1, -1, tokens.shape[2])), places
