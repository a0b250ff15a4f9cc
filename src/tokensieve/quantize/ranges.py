"""The least and the most number in each column that a linear layer reads, over documents: what int8 has to hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tokensieve.cascade.build import stages_of
from tokensieve.data.documents import Document
from tokensieve.errors import DataError
from tokensieve.model.int8 import int8_names, sharing
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.words_first import engine_like


def names_of(model: Any, stages: Sequence[int] | None = None) -> list[str]:
    """Names of the modules that can have int8 weights, within a stage.

    Args:
        model: a model or a cascade.
        stages: numbers of a cascade's stages, from 0; None: all.
    """
    return list(dict.fromkeys(name for stage in _chosen(model, stages) for name in int8_names(stage)))


def ranges_of(
    model: Any, names: Sequence[str], read: Callable[[Any], object], stages: Sequence[int] | None = None
) -> dict[str, Tensor]:
    """The range of each linear layer, by its name within a stage. Stages share tensors, and so the ranges.

    Args:
        model: float32; a model or a cascade, each of whose stages reads all documents.
        names: of modules within a stage; those that are no linear layers are passed over.
        read: lets a stage read the documents.
        stages: as in `names_of`.

    Returns:
        Least and most number in each column over all rows, [2, d_in] float32. Layers that share rows share them.

    Raises:
        DataError: no row reached a layer.
    """
    found: dict[str, Tensor] = {}
    for stage in _chosen(model, stages):
        linear = {
            name: module for name, module in stage.named_modules() if name in names and isinstance(module, nn.Linear)
        }
        hooks = [module.register_forward_pre_hook(partial(_widen, found, name)) for name, module in linear.items()]
        try:
            read(stage)
        finally:
            for hook in hooks:
                hook.remove()
        if unread := linear.keys() - found.keys():
            raise DataError(f"no document has a token that reaches {min(unread)}: give more documents")
    return found


def ranges(
    classifier: Classifier, names: Sequence[str], documents: Sequence[Document], stages: Sequence[int] | None = None
) -> dict[str, Tensor]:
    """`ranges_of` a classifier's model over documents."""

    def read(stage: Any) -> None:
        for _ in engine_like(classifier.engine, stage, None).stream(documents):
            pass

    return ranges_of(classifier.model, names, read, stages)


def _chosen(model: Any, stages: Sequence[int] | None) -> list[Any]:
    return [stage for number, stage in enumerate(stages_of(model)) if stages is None or number in stages]


def _widen(found: dict[str, Tensor], name: str, module: nn.Module, rows: tuple[Tensor, ...]) -> None:
    if not rows[0].numel():
        return
    bounds = torch.stack(torch.aminmax(rows[0].detach().flatten(0, -2), dim=0))
    for other in sharing(name):
        before = found.get(other, bounds)
        found[other] = torch.stack((torch.minimum(bounds[0], before[0]), torch.maximum(bounds[1], before[1])))
