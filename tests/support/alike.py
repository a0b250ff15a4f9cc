"""Whether two models tell documents apart in the same way."""

import torch
from torch import Tensor


def correlation(one: Tensor, other: Tensor) -> float:
    """Of numbers [B, C] of the same documents, each column less its mean.

    It is 1 where they differ by rounding alone, and small or NaN where one of them says the same of every document: its
    numbers may still be near the other's.
    """
    apart = [values.detach().double() - values.detach().double().mean(0) for values in (one, other)]
    return float(torch.corrcoef(torch.stack([values.flatten() for values in apart]))[0, 1])
