"""Norms: the kind that a backbone has, and the few parameters that feature distillation trains (norms and biases)."""

from __future__ import annotations

from torch import nn

from tokensieve.model.configuration import TokensieveConfig

_NORMS = (nn.LayerNorm, nn.RMSNorm)


def norm_of(width: int, config: TokensieveConfig) -> nn.Module:
    """A norm over [..., width], of the kind that the backbone's blocks have."""
    blocks = config.block
    if blocks.norm == "rms":
        return nn.RMSNorm(width, eps=config.layer_norm_eps)
    return nn.LayerNorm(width, eps=config.layer_norm_eps, bias=blocks.norm_bias)


def norms_and_biases(module: nn.Module) -> dict[str, nn.Parameter]:
    """Weights and biases of the norms, and biases of the linear maps, by their names in the module.

    They are what BitFit trains (biases), and the norms beside them.
    """
    return {
        f"{place}.{name}".removeprefix("."): parameter
        for place, child in module.named_modules()
        for name, parameter in child.named_parameters(recurse=False)
        if isinstance(child, _NORMS) or name == "bias"
    }
