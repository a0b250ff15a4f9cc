"""The norms and biases of a module: few parameters, which move states as they are (BitFit tunes no others)."""

from __future__ import annotations

from torch import nn


def norms_and_biases(module: nn.Module) -> dict[str, nn.Parameter]:
    """Weights and biases of the norms, and biases of the linear maps, by their names in the module."""
    return {
        f"{place}.{name}".removeprefix("."): parameter
        for place, own in module.named_modules()
        for name, parameter in own.named_parameters(recurse=False)
        if isinstance(own, nn.LayerNorm) or name == "bias"
    }
