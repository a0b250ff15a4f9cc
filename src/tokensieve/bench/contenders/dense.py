"""The backbone itself, as transformers runs it: fused attention (SDPA), padded to the longest document of a batch."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from tokensieve.bench.contenders.contender import (
    CPU,
    RUNNING,
    Contender,
    ContenderConfig,
    DenseContender,
    Setting,
    check_dtype,
    check_order,
)
from tokensieve.bench.work import Order
from tokensieve.runtime.precision import resolve_dtype


@dataclass(frozen=True)
class Transformers(ContenderConfig):
    """transformers' own model.

    Attributes:
        order: "sorted" is the fair baseline, "given" what a plain loop does.
        dtype: of weights and activations.
    """

    order: Order = "sorted"
    dtype: str = "float32"

    measures: ClassVar[frozenset[str]] = RUNNING | {"training"}
    modules: ClassVar[tuple[str, ...]] = ("transformers.models.bert.modeling_bert",)

    def __post_init__(self) -> None:
        check_order(self)
        check_dtype(self)

    def load(self, setting: Setting) -> Contender:
        """The backbone's own module, or a copy of another type."""
        model: nn.Module = setting.backbone.model
        if self.dtype != "float32":
            model = (model if setting.alone else copy.deepcopy(model)).to(resolve_dtype(self.dtype, CPU))
        return DenseContender(
            model, setting.backbone, self.order, self.dtype, {"attention": setting.backbone.attention}
        )
