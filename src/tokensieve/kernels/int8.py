"""Linear layers and tables of words with int8 weights, for inference.

Weights have a scale for each output (of a table: for each word). Activations have one for each row, the largest of its
numbers / 127, made when the row is multiplied (as ZeroQuant, Yao et al., NeurIPS 2022). So no row depends on the others
of its batch, and no documents are needed to fit scales to.

The product of two int8 matrices is exact in int32. oneDNN makes it where the processor has instructions for it. Without
them oneDNN adds pairs of products in 16 bits, which overflow; so float32 takes its place, with the same numbers.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokensieve.processor import cpu_instructions

_INSTRUCTIONS = {"avx512_vnni", "avx_vnni", "amx_int8"}
CALLED = "AVX512-VNNI, AVX-VNNI or AMX-INT8"
_LARGEST = 127
_MIDDLE = 128  # of unsigned numbers, which the instructions multiply by signed ones
_SMALLEST_SCALE = 1e-30  # of a row of zeros


class Int8Linear(nn.Module):
    """Takes the place of a linear layer: y = x Wᵀ + b, both x and W in int8.

    Attributes:
        weight: [d_out, d_in] int8.
        weight_scale: [d_out] float32; a weight is its number times its row's scale.
        bias: [d_out] float32, or None.
    """

    weight: Tensor
    weight_scale: Tensor

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.register_buffer("weight", torch.zeros(out_features, in_features, dtype=torch.int8))
        self.register_buffer("weight_scale", torch.ones(out_features))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        self._ready: tuple[bool, Tensor] | None = None

    def forward(self, rows: Tensor) -> Tensor:
        """[..., d_out] from [..., d_in], in the type of the rows."""
        flat = rows.flatten(0, -2).float()
        if not len(flat):
            return rows.new_zeros(*rows.shape[:-1], self.out_features)
        quantized, scale = quantized_rows(flat)
        native, weight = self._operand()
        if native:
            unsigned = quantized.add_(_MIDDLE).to(torch.uint8)
            product: Tensor = _multiply(unsigned, weight, self.weight_scale)
        else:
            product = F.linear(quantized, weight) * self.weight_scale
        product *= scale
        if self.bias is not None:
            product += self.bias
        result: Tensor = product.unflatten(0, rows.shape[:-1]).to(rows.dtype)
        return result

    def _operand(self) -> tuple[bool, Tensor]:
        """Whether oneDNN multiplies, and the weights as the product takes them; made at the first call."""
        if self._ready is None:
            native = self.weight.device.type == "cpu" and has_int8()
            weight = torch.ops.onednn.qlinear_prepack(self.weight, None) if native else self.weight.float()
            self._ready = native, weight
        return self._ready

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self._ready = None
        return super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ready": None}  # what oneDNN has laid out can be neither copied nor pickled

    def extra_repr(self) -> str:
        """Sizes, for `print(model)`."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Int8Embedding(nn.Module):
    """Takes the place of a table of word vectors.

    Attributes:
        weight: [V, d] int8.
        weight_scale: [V] float32.
    """

    weight: Tensor
    weight_scale: Tensor

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(words, width, dtype=torch.int8))
        self.register_buffer("weight_scale", torch.ones(words))

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors [..., d] float32 of ids [...]."""
        return self.weight[ids].float() * self.weight_scale[ids].unsqueeze(-1)


def quantized_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers from -127 to 127, as floats, and the scale of each row.

    Args:
        rows: [T, d] float32.

    Returns:
        [T, d] and [T, 1]; the rows are about their product.
    """
    scale = (rows.abs().amax(1, keepdim=True) / _LARGEST).clamp_(min=_SMALLEST_SCALE)
    return (rows / scale).round_(), scale


def quantized_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix [n, d] as int8, and the scale of each row [n] float32."""
    whole, scale = quantized_rows(weight.detach().float())
    return whole.to(torch.int8), scale.squeeze(1)


def has_int8() -> bool:
    """Whether this processor multiplies int8 by instructions made for it, and torch can ask for them."""
    return bool(_INSTRUCTIONS & cpu_instructions()) and hasattr(torch.ops.onednn, "qlinear_pointwise")


@cache
def _no_offsets(outputs: int) -> Tensor:
    return torch.zeros(outputs, dtype=torch.int64)


def _multiply(unsigned: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """[T, d_out] float32 from [T, d_in] uint8 around 128 and a weight that oneDNN has laid out."""
    offsets = _no_offsets(len(scale))
    product: Tensor = torch.ops.onednn.qlinear_pointwise(
        unsigned, 1.0, _MIDDLE, weight, scale, offsets, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return product
