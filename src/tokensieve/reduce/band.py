"""Partners within a band: the most similar token of the other half that stands near by, in linear time and memory.

Source: local merging (Götz et al., "Efficient Time Series Processing for Transformers and State-Space Models through
Token Merging", ICML 2025): of the tokens of the two halves a_i and b_j only pairs with |i - j| < k are compared. In
places among a document's tokens that may leave, b_j stands 2 (j - i) + 1 behind a_i: from 2 k - 3 before it to 2 k - 1
behind it. With k = 1 it is the next token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.kernels.cosines import on_grid


class Free(NamedTuple):
    """The tokens of a batch that may leave, one behind the other.

    Attributes:
        rows: [F] int64 rows of the packed batch, ascending.
        document: [F] int64.
        number: [F] int64, from 0 in each document; even ones are the first half (`reduce.halves`).
        longest: no document has more.
    """

    rows: Tensor
    document: Tensor
    number: Tensor
    longest: int


def free_tokens(protected: Tensor, lengths: Sequence[int], combination: int) -> Free:
    """The text tokens that are not protected.

    Args:
        protected: [T] bool.
        lengths: rows of each document.
        combination: how many of them, at the end, are combination tokens.
    """
    counts = torch.tensor(lengths, device=protected.device)
    document = torch.repeat_interleave(counts, output_size=len(protected))
    left = counts.cumsum(0)[document] - torch.arange(len(protected), device=protected.device)  # to the document's end
    free = ~protected & (left > combination)
    rows = free.nonzero().squeeze(1)
    behind = free.cumsum(0)
    before = torch.cat([behind.new_zeros(1), behind[counts.cumsum(0)[:-1] - 1]])  # free ones of earlier documents
    return Free(rows, document[rows], (behind - 1 - before[document])[rows], max(lengths))


class Partners(NamedTuple):
    """The most similar token of each that was asked for.

    Attributes:
        cosines: [A] float32, -inf where there is no partner.
        places: [A] int64 places among the free tokens; that of the token itself where there is no partner.
    """

    cosines: Tensor
    places: Tensor


@torch.no_grad()
def partners(vectors: Tensor, free: Free, asked: Tensor, band: int, taking: Tensor | None = None) -> Partners:
    """The partner of each token that is asked for; of equals the earlier one.

    Args:
        vectors: [T, e] that are compared, of all rows of the batch.
        free: the tokens that may leave.
        asked: [A] places among them.
        band: k, 1 or more. Time and memory are k times linear in A.
        taking: [F] bool, those that may be partners; None: all.
    """
    unit = F.normalize(vectors.float(), dim=1)
    own, last = unit[free.rows[asked]], len(free.rows) - 1
    best, found = own.new_full((len(asked),), -torch.inf), asked
    reach = min(band, free.longest // 2 + 1)  # a wider band holds no more tokens
    for offset in range(3 - 2 * reach, 2 * reach, 2):
        place = (asked + offset).clamp(0, max(0, last))
        beside = (free.document[place] == free.document[asked]) & (place == asked + offset)
        if taking is not None:
            beside = beside & taking[place]
        cosine = on_grid((own * unit[free.rows[place]]).sum(1)).masked_fill(~beside, -torch.inf)
        better = cosine > best
        best, found = torch.where(better, cosine, best), torch.where(better, place, found)
    return Partners(best, found)


def pairs_within(tokens: float, band: int) -> float:
    """How many pairs of the two halves of so many tokens are compared: t / 2 + (k - 1) (t - k)."""
    reach = max(1.0, min(float(band), tokens / 2))
    return tokens / 2 + (reach - 1) * (tokens - reach)
