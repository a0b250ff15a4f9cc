"""For as long as a part of a model is trained: the rest is frozen, and nothing is dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from tokensieve.model.attention import SelfAttention
from tokensieve.model.dropout import Dropout


@contextmanager
def only_trainable(model: nn.Module, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Nothing but these parameters is trained meanwhile."""
    before = {parameter: parameter.requires_grad for parameter in model.parameters()}
    try:
        for parameter in before:
            parameter.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter, trained in before.items():
            parameter.requires_grad_(trained)
            parameter.grad = None


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """Nothing is dropped meanwhile, in training neither."""
    places: list[tuple[nn.Module, str]] = [(module, "p") for module in model.modules() if isinstance(module, Dropout)]
    places += [(module, "dropout") for module in model.modules() if isinstance(module, SelfAttention)]
    before = [getattr(module, name) for module, name in places]
    try:
        for module, name in places:
            setattr(module, name, 0.0)
        yield
    finally:
        for (module, name), probability in zip(places, before, strict=True):
            setattr(module, name, probability)
