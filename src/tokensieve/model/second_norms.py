"""Norms and biases of a second reading's own, beside weights that both readings share.

Where the layers have learned to make of fewer tokens what a classifier makes of all (`training.follow`), the norms and
biases that this moved are those of the first reading. The second one has those of before.
"""

from __future__ import annotations

import copy
from typing import cast

from torch import nn


def norms_and_biases(module: nn.Module) -> dict[str, nn.Parameter]:
    """Weights and biases of the norms, and biases of the linear maps, by their names in the module."""
    return {
        f"{place}.{name}".removeprefix("."): parameter
        for place, own in module.named_modules()
        for name, parameter in _own(own).items()
    }


def _own(module: nn.Module) -> dict[str, nn.Parameter]:
    """Those of the module itself."""
    parameters = module.named_parameters(recurse=False)
    return {name: own for name, own in parameters if isinstance(module, nn.LayerNorm) or name == "bias"}


class SecondNorms(nn.Module):
    """Copies of a module's norms and biases, under the names that they have there. Buffers, as neither adapters nor
    processes that train together may take them for trained weights.

    Args:
        module: whose they are.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        for name, parameter in _own(module).items():
            self.register_buffer(name, parameter.detach().clone())
        for name, child in module.named_children():
            if norms_and_biases(child):
                self.add_module(name, SecondNorms(child))

    def twin(self, module: nn.Module) -> nn.Module:
        """The module with these in the place of its own; all else it shares, so that nothing is copied. It is for one
        pass: what is moved or loaded afterwards may be other tensors.
        """
        twin = copy.copy(module)
        twins = {name: cast(SecondNorms, own).twin(module.get_submodule(name)) for name, own in self.named_children()}
        twin.__dict__["_parameters"] = module._parameters | self._buffers
        twin.__dict__["_modules"] = module._modules | twins
        return twin
