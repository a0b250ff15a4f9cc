"""The norms and biases of a module: the few parameters that feature distillation trains (as BitFit trains biases)."""

from __future__ import annotations

from torch import nn


def norms_and_biases(module: nn.Module) -> dict[str, nn.Parameter]:
    """Weights and biases of the norms, and biases of the linear maps, by their names in the module."""
    return {
        f"{place}.{name}".removeprefix("."): parameter
        for place, child in module.named_modules()
        for name, parameter in child.named_parameters(recurse=False)
        if isinstance(child, nn.LayerNorm) or name == "bias"
    }
