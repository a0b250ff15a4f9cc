"""Which modules of a model have int8 weights: named in its config, put in place when it is built."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from tokensieve.errors import ConfigError
from tokensieve.kernels.int8 import Int8Embedding, Int8Linear, quantized_weight
from tokensieve.kernels.linear import Linear

WORDS = "embeddings.word_embeddings"
_LAST_LAYER = "head.classifier"
"""It is small, and decides."""


def int8_names(model: nn.Module) -> list[str]:
    """Names of the modules that can have int8 weights: linear layers but the last one, and the table of words."""
    linear = [name for name, module in model.named_modules() if isinstance(module, Linear) and name != _LAST_LAYER]
    return [WORDS, *linear]


def put_int8(model: nn.Module, names: Sequence[str]) -> None:
    """Put modules with int8 weights, all zero, in the place of those named; a name that the model lacks is passed over,
    as the stages of a cascade have one list.

    Raises:
        ConfigError: a module of another kind.
    """
    modules = dict(model.named_modules())
    for name in names:
        module, (place, _, leaf) = modules.get(name), name.rpartition(".")
        if module is None:
            continue
        if isinstance(module, Linear):
            new: nn.Module = Int8Linear(module.in_features, module.out_features, module.bias is not None)
        elif isinstance(module, nn.Embedding):
            new = Int8Embedding(module.num_embeddings, module.embedding_dim)
        else:
            raise ConfigError(f"int8: {name} is a {type(module).__name__}, which has no int8 weights: leave it out")
        setattr(model.get_submodule(place), leaf, new)


def in_int8(model: Any, names: Sequence[str]) -> Any:
    """A copy of a model, or of a cascade, whose modules of these names have int8 weights.

    Args:
        model: float32, on the CPU; its modules are not int8 yet.
        names: of modules, as they are within a stage.
    """
    config = copy.deepcopy(model.config)
    config.int8 = list(names)
    made = type(model)(config).eval()
    made.load_state_dict(_converted(model.state_dict(), names))
    return made


def _converted(state: dict[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    wanted = tuple(f"{name}.weight" for name in names)
    converted = {}
    for name, tensor in state.items():
        if name.removeprefix("stages.0.").removeprefix("stages.1.") in wanted:
            converted[name], converted[f"{name}_scale"] = quantized_weight(tensor)
        else:
            converted[name] = tensor
    return converted
