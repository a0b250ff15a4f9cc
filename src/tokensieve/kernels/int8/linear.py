"""A linear layer with int8 weights, for inference.

Weights have a scale for each output. Activations have one scale and one zero for a layer,
fitted to documents (`quantize.ranges`) and then fixed. So no row depends on the others of its batch, and what follows
a product (GELU, the residual) is computed while its rows are in the processor's registers. A few columns of a BERT are
ten times as large as the others; so columns are divided by a number of their own first, by which the weights that
multiply them grow (SmoothQuant, Xiao et al., ICML 2023, equation 4 with α = 1/2).

The product of two int8 matrices is exact in int32. oneDNN makes it where the processor has instructions for it. Without
them oneDNN adds pairs of products in 16 bits, which overflow; so float32 takes its place, with the same numbers.

Rows go to oneDNN as uint8, 128 larger. VNNI multiplies unsigned numbers by signed ones; for signed rows and a processor
with VNNI and no AMX, oneDNN 3.11 falls back to its reference code, which is a thousand times slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from tokensieve.kernels.int8.instructions import has_int8
from tokensieve.kernels.int8.scales import LEAST, MIDDLE, MOST
from tokensieve.memory import page_out

_ROWS_AT_ONCE = 1024
"""Float rows that are rounded at once: of a batch of 8,000 a second copy in float32 would be most of the peak."""
_SIZES = 4
_TILE, _VERY_FEW_ROWS = 16, 6
"""oneDNN keeps code for each number of rows that it has met, and pruned batches have a new one in every layer (30 MB
for `fast` over 128 documents). So products have a multiple of `_TILE` rows, and at most `_SIZES` numbers of rows
between two powers of two. Up to `_VERY_FEW_ROWS` rows stay as they are."""

_LAID_OUT = WeakTensorKeyDictionary()
"""Weights as a product takes them, with the versions that they were made of: by the int8 tensor that the product begins
with, and by the number of its layers. Stages of a cascade share tensors, and so these."""


class _Rounding(NamedTuple):
    """How rows become uint8; made at the first call."""

    factor: Tensor  # of each column
    scale: float
    zero: int  # of uint8
    version: int  # of the weight beside it


class _Operands(NamedTuple):
    """The operands of a product beside the rows, of one layer or of several; made at the first call."""

    weight: Tensor  # laid out by oneDNN, or float32
    scale: Tensor  # of each output
    bias: Tensor | None
    versions: tuple[int, ...]  # of the tensors that they were made of


class Int8Linear(nn.Module):
    """Takes the place of a linear layer: y = x Wᵀ + b, both x and W in int8.

    Rows are float, or uint8 as `ready` makes them.

    Attributes:
        weight: [d_out, d_in] int8.
        weight_scale: [d_out] float32; a weight is its number times its row's scale.
        bias: [d_out] float32, or None.
        input_scale: [] float32; a number of a row is (its int8 - input_zero) input_scale, times its column's smoothing.
        input_zero: [] int32.
        smoothing: [d_in] float32; what columns are divided by. The weights are already those of divided columns.
    """

    weight: Tensor
    weight_scale: Tensor
    input_scale: Tensor
    input_zero: Tensor
    smoothing: Tensor

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.register_buffer("weight", torch.zeros(out_features, in_features, dtype=torch.int8))
        self.register_buffer("weight_scale", torch.ones(out_features))
        self.register_buffer("input_scale", torch.ones(()))
        self.register_buffer("input_zero", torch.zeros((), dtype=torch.int32))
        self.register_buffer("smoothing", torch.ones(in_features))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        self._rounding: _Rounding | None = None
        self._made: dict[int, _Operands] = {}  # by the number of layers in one product

    def forward(self, rows: Tensor, residual: Tensor | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """[..., d_out] from [..., d_in].

        Args:
            rows: float, or uint8.
            residual: [T, d_out] float32 to add, for rows [T, d_in]; the result is float32, too.
            dtype: of the result.
        """
        flat, shape = self.ready(rows).flatten(0, -2), (*rows.shape[:-1], self.out_features)
        if not len(flat):
            return torch.zeros(shape, dtype=dtype, device=rows.device)
        if not self._native:
            product = self._in_float32(flat)
            return (product if residual is None else product.add_(residual)).to(dtype).view(shape)
        if residual is None:
            return self._multiply(self._operands(), flat, dtype).view(shape)
        return self._add(flat, residual)

    def gelu(self, rows: Tensor, approximate: str, reader: nn.Module | None) -> Tensor:
        """GELU of the product, [T, d_out]: uint8 as `reader` takes them, float32 if the reader has float weights.

        Args:
            rows: [T, d_in], float or uint8.
            approximate: "none" or "tanh", as of `torch.nn.functional.gelu`.
            reader: a linear layer, which if its weights are int8 smooths nothing; None: one of float weights.
        """
        flat = self.ready(rows)
        if len(flat) and self._native:
            own = self._operands()
            if not isinstance(reader, Int8Linear):
                return self._multiply(own, flat, torch.float32, "gelu", approximate)
            onward = reader._rounded_by()
            return self._multiply(own, flat, torch.uint8, "gelu", approximate, onward.scale, onward.zero)
        activated = F.gelu(self(flat), approximate=approximate)
        return reader.ready(activated) if isinstance(reader, Int8Linear) else activated

    def beside(self, others: Sequence[Int8Linear], rows: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The products of this layer and of others that read the same rows, by one call: [T, d_out] each, views.

        Args:
            others: layers with the same input scale and zero.
            rows: [T, d_in], float or uint8.
            dtype: of the results.
        """
        layers, flat = (self, *others), self.ready(rows)
        if not len(flat) or not self._native:
            return tuple(layer(flat, dtype=dtype) for layer in layers)
        product = self._multiply(self._operands(*others), flat, dtype)
        return product.split([layer.out_features for layer in layers], dim=1)  # type: ignore[no-any-return]

    def ready(self, rows: Tensor) -> Tensor:
        """Rows [..., d_in] as the product takes them: uint8. Layers that read the same rows may share them."""
        if rows.dtype == torch.uint8:
            return rows
        flat = rows.detach().flatten(0, -2)
        if len(flat) <= _ROWS_AT_ONCE and _filled_up(len(flat)) == len(flat):
            return self._rounded(flat).view(rows.shape)
        made = torch.empty(_filled_up(len(flat)), flat.shape[1], dtype=torch.uint8, device=rows.device)
        for start in range(0, len(flat), _ROWS_AT_ONCE):
            some = flat[start : start + _ROWS_AT_ONCE]
            made[start : start + len(some)] = self._rounded(some)
        made[len(flat) :] = MIDDLE
        return made[: len(flat)].view(rows.shape)

    def _rounded(self, rows: Tensor) -> Tensor:
        """Rows [T, d_in] uint8 of float ones."""
        own = self._rounded_by()
        shifted = rows * own.factor
        if own.zero != MIDDLE:
            shifted += own.zero - MIDDLE
        # torch makes int8 of float32 ten times as fast as uint8; flipping the highest bit adds 128.
        signed = shifted.round_().clamp_(LEAST, MOST).to(torch.int8)
        return signed.view(torch.uint8).bitwise_xor_(MIDDLE)

    def _multiply(
        self,
        operands: _Operands,
        rows: Tensor,
        dtype: torch.dtype,
        after: str = "none",
        approximate: str = "",
        scale: float = 1.0,
        zero: int = 0,
    ) -> Tensor:
        """[T, outputs] by oneDNN, of `dtype`: with what comes after the product, and uint8 by that scale and zero."""
        own, offsets = self._rounded_by(), _no_offsets(len(operands.scale))
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            _with_room(rows), own.scale, own.zero, operands.weight, operands.scale, offsets, operands.bias, scale, zero,
            dtype, after, [], approximate,
        )  # fmt: skip
        return product[: len(rows)]

    def _add(self, rows: Tensor, residual: Tensor) -> Tensor:
        """[T, d_out] float32 by oneDNN: the product and the residual."""
        operands = self._operands()
        if _filled_up(len(rows)) != len(rows):
            return self._multiply(operands, rows, torch.float32).add_(residual)
        own, offsets = self._rounded_by(), _no_offsets(self.out_features)
        summed: Tensor = torch.ops.onednn.qlinear_pointwise.binary(
            rows, own.scale, own.zero, operands.weight, operands.scale, offsets, residual, operands.bias, 1.0, 0,
            torch.float32, 1.0, 0, "add", 1.0, "none", [], "",
        )  # fmt: skip
        return summed

    def _in_float32(self, rows: Tensor) -> Tensor:
        own, operands = self._rounded_by(), self._operands()
        with torch.autocast(rows.device.type, enabled=False):
            product = F.linear(rows.float().sub_(own.zero), operands.weight).mul_(operands.scale * own.scale)
        return product if operands.bias is None else product.add_(operands.bias)

    @property
    def _native(self) -> bool:
        """Whether oneDNN makes the product."""
        return self.weight.device.type == "cpu" and has_int8()

    def _rounded_by(self) -> _Rounding:
        version = _version(self.weight)
        if self._rounding is None or self._rounding.version != version:
            factor = 1 / (self.smoothing * self.input_scale)
            self._rounding = _Rounding(factor, float(self.input_scale), int(self.input_zero) + MIDDLE, version)
        return self._rounding

    def _operands(self, *others: Int8Linear) -> _Operands:
        """Make or reuse the operands of this layer's product, or of one product for it and others."""
        layers = (self, *others)
        versions = tuple(_version(own) for layer in layers for own in (layer.weight, layer.weight_scale, layer.bias))
        made = self._made.get(len(layers))
        if made is None or made.versions != versions:
            weight = _laid_out([layer.weight for layer in layers], self._native)
            scale = torch.cat([layer.weight_scale for layer in layers])
            made = self._made[len(layers)] = _Operands(weight, scale, _biases(layers), versions)
        return made

    def _forget(self) -> None:
        self._rounding, self._made = None, {}

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self._forget()
        return super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._forget()
        super()._load_from_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        # What oneDNN has laid out can be neither copied nor pickled.
        return {**self.__dict__, "_rounding": None, "_made": {}}

    def extra_repr(self) -> str:
        """Sizes, for `print(model)`."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


def _laid_out(weights: Sequence[Tensor], native: bool) -> Tensor:
    """Weights [d_out, d_in] each as one product takes them; a call of oneDNN takes 45 us whatever its size."""
    versions, kept = tuple(map(_version, weights)), _LAID_OUT.setdefault(weights[0], {})
    if kept.get(len(weights), (None, None))[0] != versions:
        whole = weights[0] if len(weights) == 1 else torch.cat(list(weights))
        kept[len(weights)] = versions, torch.ops.onednn.qlinear_prepack(whole, None) if native else whole.float()
        for weight in weights:
            page_out(weight)  # it is only read again when the model is saved or copied
    laid_out: Tensor = kept[len(weights)][1]
    return laid_out


def _biases(layers: Sequence[Int8Linear]) -> Tensor | None:
    """The biases of all outputs, 0 for a layer without one; None: no layer has one."""
    if all(layer.bias is None for layer in layers):
        return None
    scales_and_biases = [(layer.weight_scale, layer.bias) for layer in layers]
    return torch.cat([torch.zeros_like(scale) if bias is None else bias.detach() for scale, bias in scales_and_biases])


def _version(tensor: Tensor | None) -> int:
    """A number that grows when the tensor is written to."""
    return 0 if tensor is None or tensor.is_inference() else tensor._version


def _filled_up(count: int) -> int:
    """The number of rows that a product of so many rows has."""
    if count <= _VERY_FEW_ROWS:
        return count
    step = max(_TILE, (1 << (count - 1).bit_length()) // (2 * _SIZES))
    return count + -count % step


def _with_room(rows: Tensor) -> Tensor:
    """Rows [T, d] uint8, and as many behind them as a product has more; whatever these hold, they are left out later.

    Where rows begin memory that goes on behind them, as `ready` and products leave it, nothing is copied.
    """
    count, width = rows.shape
    whole = _filled_up(count)
    if whole == count:
        return rows
    memory = rows.untyped_storage()
    if rows.is_contiguous() and memory.nbytes() >= rows.storage_offset() + whole * width:
        return rows.as_strided((whole, width), (width, 1))
    filled = rows.new_full((whole, width), MIDDLE)
    filled[:count] = rows
    return filled


@cache
def _no_offsets(outputs: int) -> Tensor:
    return torch.zeros(outputs, dtype=torch.int64)
