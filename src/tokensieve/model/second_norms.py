"""Norms and biases of a second reading's own, beside weights that both readings share.

Where the layers have learned to make of fewer tokens what a classifier makes of all (`training.follow`), the norms and
biases that this moved are those of the first reading. The second one has those of before.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor, nn

from tokensieve.errors import ConfigError

BETWEEN = "/"
"""What stands for the dots of a parameter's name in the name of its copy, as a buffer's can have none."""


def norms_and_biases(module: nn.Module) -> dict[str, nn.Parameter]:
    """Weights and biases of the norms, and biases of the linear maps, by their names in the module."""
    return {
        f"{place}.{name}".removeprefix("."): parameter
        for place, own in module.named_modules()
        for name, parameter in own.named_parameters(recurse=False)
        if isinstance(own, nn.LayerNorm) or name == "bias"
    }


class SecondNorms(nn.Module):
    """Copies of a module's norms and biases. Buffers, as neither adapters nor processes that train together may take
    them for trained weights; and all in one module, as adapters look for modules by the ends of their names.

    Args:
        module: whose they are.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        for name, parameter in norms_and_biases(module).items():
            self.register_buffer(name.replace(".", BETWEEN), parameter.detach().clone())

    def by_name(self) -> dict[str, Tensor]:
        """The copies by the names of what they are copies of."""
        return {name.replace(BETWEEN, "."): tensor for name, tensor in self.named_buffers()}

    def twin(self, module: nn.Module) -> nn.Module:
        """The module with these in the place of its own; all else it shares, so that nothing is copied. It is for one
        pass: what is moved or loaded afterwards may be other tensors. Of a linear map with an adapter, which wraps it,
        the inner one gets them.

        Raises:
            ConfigError: something else wraps a part of the module, or has replaced its `forward`: that would read by
                the norms of the first reading.
        """
        return _twin(module, self.by_name())


def _twin(module: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    twin, wrapped = copy.copy(module), module._modules.get("base_layer")
    usual = "forward" not in module.__dict__
    if wrapped is not None and usual and not isinstance(wrapped, nn.LayerNorm):  # an adapter of a norm has its own
        twin.__dict__["_modules"] = module._modules | {"base_layer": _twin(wrapped, tensors)}
        return twin
    own: dict[str, Tensor] = {}
    below: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        first, _, rest = name.partition(".")
        if rest:
            below.setdefault(first, {})[rest] = tensor
        else:
            own[first] = tensor
    twins = {name: _twin(child, below[name]) for name, child in module._modules.items() if child and name in below}
    if len(twins) < len(below) or not own.keys() <= module._parameters.keys() or not usual:
        raise ConfigError(
            f"a second reading's own norms: {type(module).__name__} stands around a part of a layer, or has another "
            "forward than its class, so it would read by those of the first: merge adapters, load without device_map, "
            "or read once (reading='first')"
        )
    twin.__dict__["_parameters"] = module._parameters | own
    twin.__dict__["_modules"] = module._modules | twins
    return twin
