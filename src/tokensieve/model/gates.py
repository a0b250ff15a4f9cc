"""The gates of a model: which layers have one, whether they are soft, and the settings that they have learned.

`reduce.gate` says what a gate is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import nn

from tokensieve.config import ReductionConfig
from tokensieve.model.layer import Layer
from tokensieve.model.layers import Encoder
from tokensieve.model.steps import encoder_steps
from tokensieve.reduce.schedule import Listed

_LEAST = 0.001  # no layer has a smaller share


def gated_layers(model: nn.Module) -> list[Layer]:
    """The layers with a gate, in order."""
    return [module for module in model.modules() if isinstance(module, Layer) and module.gate is not None]


def gate_parameters(model: nn.Module) -> list[nn.Parameter]:
    """What gates are trained by: their parameters, and those of the scores that they read."""
    return list(_parameters(model))


def _parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    for layer in gated_layers(model):
        for part in (layer.gate, layer.importance):
            if part is not None:
                yield from part.parameters()


def set_soft(model: nn.Module, soft: bool) -> None:
    """Make all gates soft and train them; or hard, and keep what they have learned."""
    for layer in gated_layers(model):
        assert layer.gate is not None
        layer.gate.soft = soft
    for parameter in gate_parameters(model):
        parameter.requires_grad_(soft)


def project(model: nn.Module) -> None:
    """Take the parameters of all gates back into their range."""
    for layer in gated_layers(model):
        assert layer.gate is not None
        layer.gate.project()


def report(model: nn.Module) -> dict[str, dict[str, float]]:
    """What each gate has learned, by number of the model's step, from 1."""
    steps = {id(module): number for number, module in enumerate(_encoder(model).layer, 1)}
    return {str(steps[id(layer)]): layer.gate.report() for layer in gated_layers(model) if layer.gate is not None}


def learned_settings(model: nn.Module, settings: ReductionConfig) -> ReductionConfig:
    """The settings with the schedule that the gates have learned; as they are, where it depends on the document.

    Each gate tells the share of a document's tokens that its layer leaves. Tokens that are gone do not come back, so no
    layer leaves more than the one before.
    """
    prune, shares, before = settings.prune, list[float](), 1.0
    if prune is None or prune.select.learned == prune.select:
        return settings
    for module in _encoder(model).layer:
        gate = module.gate if isinstance(module, Layer) else None
        after = before if gate is None or gate.share is None else min(before, max(_LEAST, gate.share))
        shares.append(max(_LEAST, round(after / before, 3)))
        before = after
    return replace(settings, prune=replace(prune, select=prune.select.learned, schedule=Listed(tuple(shares))))


def _encoder(model: nn.Module) -> Encoder:
    return next(module for module in model.modules() if isinstance(module, Encoder))


def adopt(model: Any, settings: ReductionConfig) -> None:
    """Give a model the settings that its gates have learned. Its layers have no gates from then on."""
    encoder, config = _encoder(model), model.config
    config.reduction = settings.to_dict()
    encoder.steps = encoder_steps(settings, config.num_hidden_layers, config.block.local_layers)
    for step, module in zip(encoder.steps, encoder.layer, strict=True):
        if isinstance(module, Layer):
            module.prune, module.share, module.gate = step.prune, step.share, None
