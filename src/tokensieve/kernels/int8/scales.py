"""How numbers become int8: of weights by their largest, of activations by their range, of columns by smoothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LEAST, MOST = -128, 127
MIDDLE = 128
"""What is added to a number of int8 to make it one of uint8."""
_LARGEST = 127
_SMALLEST_SCALE = 1e-30  # of a row of zeros
_SMALL = 1e-5  # of a column


def quantized_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix [n, d] as int8 from -127 to 127, and the scale of each row [n] float32: its largest number / 127."""
    rows = weight.detach().float()
    scale = (rows.abs().amax(1, keepdim=True) / _LARGEST).clamp_(min=_SMALLEST_SCALE)
    return (rows / scale).round_().to(torch.int8), scale.squeeze(1)


def quantized_range(least: float, most: float) -> tuple[float, int]:
    """Scale and zero by which the numbers from `least` to `most`, and 0, become int8."""
    least, most = min(least, 0.0), max(most, 0.0)
    if least == -most:
        return max(most / _LARGEST, _SMALLEST_SCALE), 0
    scale = max((most - least) / (MOST - LEAST), _SMALLEST_SCALE)
    return scale, round(LEAST - least / scale)


def smoothing(columns: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """The divisors of columns, [d_in] float32: rows and weights then reach about as far.

    Args:
        columns: [2, d_in], the least and the most number in each column of the rows.
        weights: [d_out, d_in] each, of the layers that read the rows.
    """
    reach = columns.abs().amax(0).clamp(min=_SMALL)
    grown = torch.stack([weight.detach().float().abs().amax(0) for weight in weights]).amax(0).clamp(min=_SMALL)
    return (reach / grown).sqrt()
