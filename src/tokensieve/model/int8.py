"""Which modules of a model have int8 weights: named in its config, put in place when it is built."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tokensieve.errors import ConfigError
from tokensieve.kernels.int8 import Int8Embedding, Int8Linear, quantized_range, quantized_weight, smoothing
from tokensieve.kernels.linear import Linear

WORDS = "embeddings.word_embeddings"
_LAST_LAYER = "head.classifier"
"""It is small, and decides."""


def int8_names(model: nn.Module) -> list[str]:
    """Names of the modules that can have int8 weights: linear layers but the last one, and the table of words."""
    linear = [name for name, module in model.named_modules() if isinstance(module, Linear) and name != _LAST_LAYER]
    return [WORDS, *linear]


_STAGE = re.compile(r"(stages\.\d+\.)?")
_AFTER_GELU = re.compile(r"layer\.\d+\.output\.dense$")
"""Such a layer reads what an int8 product leaves: numbers with one scale."""


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


def in_int8(model: Any, names: Sequence[str], columns: Mapping[str, Tensor]) -> Any:
    """A copy of a model, or of a cascade, whose modules of these names have int8 weights.

    Args:
        model: float32, on the CPU; its modules are not int8 yet.
        names: of modules, as they are within a stage.
        columns: of each linear layer, by its name within a stage, the least and the most number in each column that it
            reads, [2, d_in] (`quantize.ranges`).
    """
    config = copy.deepcopy(model.config)
    config.int8 = list(names)
    made = type(model)(config).eval()
    made.load_state_dict(_converted(model.state_dict(), names, columns))
    return made


def _converted(state: dict[str, Tensor], names: Sequence[str], columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    converted = dict(state)
    for name, tensor in state.items():
        stage, place = _STAGE.match(name).group(), name.removesuffix(".weight")  # type: ignore[union-attr]
        within = place.removeprefix(stage)
        if place == name or within not in names:
            continue
        if within in columns:  # a table of words reads no columns
            readers = [state[f"{stage}{reader}.weight"] for reader in sharing(within)]
            plain = _AFTER_GELU.search(within) is not None
            divided = torch.ones(tensor.shape[1]) if plain else smoothing(columns[within], readers)
            smooth = columns[within] / divided
            scale, zero = quantized_range(float(smooth.min()), float(smooth.max()))
            tensor = tensor * divided
            converted[f"{place}.smoothing"] = divided
            converted[f"{place}.input_scale"] = torch.tensor(scale)
            converted[f"{place}.input_zero"] = torch.tensor(zero, dtype=torch.int32)
        converted[name], converted[f"{name}_scale"] = quantized_weight(tensor)
    return converted


def sharing(name: str) -> list[str]:
    """Names of the layers that read the same rows as the one of this name: those of a self-attention, else itself."""
    place = name.rpartition(".")[0]
    return [f"{place}.{leaf}" for leaf in ("query", "key", "value")] if place.endswith("attention.self") else [name]
