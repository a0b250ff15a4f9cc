"""The linear layer: torch's own product, or a faster one for float32 on CPU.

Two are faster, each where it is (docs/log/2026-11-26.md): oneDNN's where MKL, which torch asks on x86, leaves half of
the processor unused; and one that turns few rows the other way round, for single documents and for what is left of a
batch once it is pruned and combined.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry, register_flop_formula

from tokensieve.errors import ConfigError
from tokensieve.processor import AMD, processor_vendor

_FEW_ROWS, _VERY_FEW_ROWS = 128, 6  # beyond the first little is won; up to the second, padding costs more
_ROWS_AT_ONCE = 8  # float32 in a register of 256 bits
_ROWS_OF_A_GRADIENT = (1024, 512, 256)  # and what is left by torch
ROWS_AT_INFERENCE = 256
"""At a time, of each thread: more are no faster (docs/log/2026-11-28.md)."""
_SIZES, _SIZES_AT_INFERENCE = 8, 4  # numbers of rows between two powers of two
_WIDE = 512  # weights of narrower models stay in the processor's cache, and nothing is won


class Linear(nn.Linear):
    """`nn.Linear`, to the parameter names."""

    def forward(self, rows: Tensor) -> Tensor:
        """[..., out_features] from [..., in_features]."""
        if self._is_plain(rows) and onednn_pays():
            multiply = onednn_linear if torch.is_grad_enabled() else _some_rows_at_a_time
            product = multiply(rows.flatten(0, -2), self.weight, self.bias)
            return product.unflatten(0, rows.shape[:-1]) if rows.dim() > 2 else product
        return F.linear(rows, self.weight, self.bias)

    def _is_plain(self, rows: Tensor) -> bool:
        """Whether the other products can take it: eager float32 on CPU, two dimensions or more."""
        plain = rows.device.type == "cpu" and rows.dtype == self.weight.dtype == torch.float32
        return plain and rows.dim() >= 2 and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()

    def __setattr__(self, name: str, value: Any) -> None:
        """As in `nn.Module`; but torch.ao.quantization is refused where it would leave the layer as it is.

        Raises:
            ConfigError: it marks this layer and not the whole model, whose layers it would know (`make_plain`).
        """
        if name == "qconfig":
            raise ConfigError(
                f"torch.ao.quantization does not know {type(self).__name__}, a layer of a part of a tokensieve model: "
                "give it the whole model, or call tokensieve.kernels.linear.make_plain on the part first"
            )
        super().__setattr__(name, value)


def make_plain(model: nn.Module) -> None:
    """Turn a model's linear layers into torch's own, in place.

    Exporters and torch.ao.quantization ask for exactly `nn.Linear`. Parameters, names and answers stay.
    """
    for layer in model.modules():
        if isinstance(layer, Linear):
            layer.weight.data = layer.weight.detach().contiguous()  # `lay_out_weights` may have turned it
            layer.__class__ = nn.Linear  # type: ignore[assignment]


def lay_out_weights(model: nn.Module) -> None:
    """Store the weights of a model's linear layers as oneDNN reads them, where it multiplies.

    They lie input by input, as the columns of the same tensors. It would turn them round at every call; for 16 rows
    that takes as long as half of the product. In place, for a model that is to predict: a training step has no use for
    it.
    """
    for layer in model.modules() if onednn_pays() else ():
        if isinstance(layer, Linear) and layer.weight.device.type == "cpu" and layer.weight.dtype == torch.float32:
            layer.weight.data = layer.weight.detach().t().contiguous().t()


class ShortLinear(Linear):
    """A linear layer whose result may lie in memory column by column, where the rows are few.

    y = x Wᵀ makes MKL rearrange all of W at every call, which for a short x takes as long as the product itself.
    Computed as (W xᵀ)ᵀ, with x padded to whole registers, it is x that is rearranged: 1.1 to 1.6 times faster.
    Elementwise operations and the next product can read the result as it lies. Attention cannot without a copy; its
    query, key and value are no layers of this kind.
    """

    def forward(self, rows: Tensor) -> Tensor:
        """[T, out_features] from [T, in_features]; strides (1, T or a little more) where the rows are few."""
        if not self._is_short(rows):
            return super().forward(rows)
        count = len(rows)
        if count > _VERY_FEW_ROWS and count % _ROWS_AT_ONCE:
            rows = F.pad(rows, (0, 0, 0, -count % _ROWS_AT_ONCE))
        bias: Tensor | None = self.bias  # torch's stubs know no layer without
        columns = rows.t()
        product = self.weight.mm(columns) if bias is None else torch.addmm(bias.unsqueeze(1), self.weight, columns)
        return product.t()[:count]

    def _is_short(self, rows: Tensor) -> bool:
        few = rows.dim() == 2 and 1 < len(rows) <= _FEW_ROWS and min(self.weight.shape) >= _WIDE
        return few and not torch.is_grad_enabled() and self._is_plain(rows) and not onednn_pays()


def linear_backend() -> str:
    """The library that multiplies float32 matrices on this CPU: "onednn", or "torch" (torch's own choice)."""
    return "onednn" if onednn_pays() else "torch"


@cache
def onednn_pays() -> bool:
    """Whether oneDNN multiplies float32 faster than torch's choice: on AMD processors with AVX-512.

    MKL uses AVX2 alone on them, half of AVX-512's width. On Intel processors, or without AVX-512, MKL is as fast.
    """
    known = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return known and torch.backends.cpu.get_cpu_capability() == "AVX512" and processor_vendor() == AMD


def onednn_linear(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """rows Wᵀ + bias by oneDNN, float32 on CPU, with gradients: [T, d_out] from [T, d_in], [d_out, d_in], [d_out]."""
    operands = (rows, weight, bias)
    if torch.is_grad_enabled() and any(own is not None and own.requires_grad for own in operands):
        result: Tensor = _Product.apply(*operands)  # type: ignore[no-untyped-call]
        return result
    return _product(*operands)


class _Product(torch.autograd.Function):
    """oneDNN's products have no gradient in torch; this one's are products of the same kind, and have gradients too."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return _product(rows, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), (rows, weight) = grads, ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            onednn_linear(grad, weight.t(), None) if wanted[0] else None,
            _weight_gradient(grad, rows) if wanted[1] else None,
            grad.sum(0) if wanted[2] else None,
        )


def _weight_gradient(grad: Tensor, rows: Tensor) -> Tensor:
    """gradᵀ rows, [d_out, d_in] from [T, d_out] and [T, d_in], some rows at a time.

    Of 1024 rows oneDNN makes it faster than of more, which leave the cache; of three sizes it keeps little memory.
    """
    total, start = None, 0
    for size in _ROWS_OF_A_GRADIENT:
        for part in range(start, len(rows) - size + 1, size):
            total = _added(total, onednn_linear(grad[part : part + size].t(), rows[part : part + size].t(), None))
            start = part + size
    if start == len(rows) and total is not None:
        return total
    return _added(total, grad[start:].t().mm(rows[start:]))


def _added(total: Tensor | None, part: Tensor) -> Tensor:
    """Add a part, in place unless gradients are to have gradients."""
    if total is None:
        return part
    return total + part if torch.is_grad_enabled() else total.add_(part)


def _some_rows_at_a_time(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`onednn_linear` without gradients, in few different numbers of rows: a dozen on one thread.

    oneDNN keeps half a megabyte for each number of rows that it has met, and pruned batches have a new one in every
    layer.
    """
    parts = [
        _product(part, weight, bias, _SIZES_AT_INFERENCE)
        for part in rows.split(ROWS_AT_INFERENCE * torch.get_num_threads())
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None, sizes: int = _SIZES) -> Tensor:
    """The product by oneDNN. Rows are zero-padded to one of `sizes` sizes between two powers of two."""
    if not rows.numel() or not weight.numel():
        return F.linear(rows, weight, bias)
    count = len(rows)
    step = max(16, 2 ** (count - 1).bit_length() // (2 * sizes))
    if missing := -count % step:  # F.pad fills all of the result before it copies the rows
        rows = torch.cat([rows, rows.new_zeros(missing, rows.shape[1])])
    result: Tensor = _onednn()(_dense(rows), _dense(weight), bias, "none", [], "")
    return result[:count] if missing else result


def _dense(matrix: Tensor) -> Tensor:
    """The matrix, contiguous by row or by column: for other layouts oneDNN's product is a hundred times slower."""
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()


@cache
def _onednn() -> Any:
    """The operation that torch's own compiler uses for linear layers; torch's counter of FLOPs learns what it costs."""
    operation = torch.ops.mkldnn._linear_pointwise
    if operation not in flop_registry:
        register_flop_formula(operation)(_flops)
    return operation


def _flops(rows: Any, weight: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """Shapes [T, d_in] and [d_out, d_in]."""
    return int(2 * rows[0] * rows[1] * weight[0])
