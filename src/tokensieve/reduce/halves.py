"""The two halves of a document's tokens between which pairs are looked for."""

from __future__ import annotations

from torch import Tensor


def second_half(free: Tensor) -> Tensor:
    """Mark every other one of the free tokens, [..., L] bool: the second, the fourth and so on of each document.

    The others are the first half, which has one more where their number is odd.
    """
    return free & (free.cumsum(-1) % 2 == 0)
