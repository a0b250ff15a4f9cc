"""The backbone itself, as transformers runs it: fused attention (SDPA), padded to the longest document of a batch."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from tokensieve.checks import check_choice
from tokensieve.kernels.linear import Linear, linear_backend
from tokensieve.runtime.precision import resolve_dtype
from tokensieve_bench.contenders.contender import (
    CPU,
    RUNNING,
    Contender,
    ContenderConfig,
    DenseContender,
    Setting,
    check_dtype,
    check_order,
)
from tokensieve_bench.work import Order


@dataclass(frozen=True)
class Transformers(ContenderConfig):
    """transformers' own model.

    Attributes:
        order: "sorted" is the fair baseline, "given" what a plain loop does.
        dtype: of weights and activations.
        linear: whose float32 products its linear layers use: "torch"'s, or "tokensieve"'s (`kernels.linear`), so that
            both sides multiply by the same library.
    """

    order: Order = "sorted"
    dtype: str = "float32"
    linear: Literal["torch", "tokensieve"] = "torch"

    measures: ClassVar[frozenset[str]] = RUNNING | {"training"}
    modules: ClassVar[tuple[str, ...]] = ("transformers.models.bert.modeling_bert",)

    def __post_init__(self) -> None:
        check_order(self)
        check_dtype(self)
        check_choice(self, "linear", Literal["torch", "tokensieve"])

    def load(self, setting: Setting) -> Contender:
        """The backbone's own module, or a copy of another type."""
        model: nn.Module = setting.backbone.model
        if self.dtype != "float32":
            model = (model if setting.alone else copy.deepcopy(model)).to(resolve_dtype(self.dtype, CPU))
        facts = {"attention": setting.backbone.attention}
        if self.linear == "tokensieve":
            # The same tensors: only the modules are copies, as the backbone's own are other contenders' too.
            model = copy.deepcopy(model, {id(tensor): tensor for tensor in model.parameters()})
            for layer in model.modules():
                if type(layer) is nn.Linear:
                    layer.__class__ = Linear
            facts["linear"] = linear_backend()
        return DenseContender(model, setting.backbone, self.order, self.dtype, facts)
