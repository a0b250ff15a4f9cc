"""Which modules of a model have int8 weights: named in its config, put in place when it is built."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tokensieve.errors import ConfigError
from tokensieve.kernels.int8.embedding import Int8Embedding
from tokensieve.kernels.int8.linear import Int8Linear
from tokensieve.kernels.int8.scales import quantized_range, quantized_weight, smoothing
from tokensieve.kernels.int8.units_apart import UNITS_APART, UnitsApart
from tokensieve.kernels.linear import Linear
from tokensieve.model.feed_forward import Intermediate

WORDS = "embeddings.word_embeddings"
_LAST_LAYER = "head.classifier"
"""It is small, and decides."""


def int8_names(model: nn.Module) -> list[str]:
    """Names of the modules that can have int8 weights: linear layers but the last one, and the table of words."""
    linear = [name for name, module in model.named_modules() if isinstance(module, Linear) and name != _LAST_LAYER]
    return [WORDS, *linear]


_STAGE = re.compile(r"^stages\.\d+\.")
_FEED_FORWARD = ("intermediate.dense.weight", "intermediate.dense.bias", "output.dense.weight")
_AFTER_ACTIVATION = re.compile(r"layer\.\d+\.output\.dense$")
"""Such a layer reads what an activation leaves: most numbers are on one side of zero."""


def put_int8(model: nn.Module, names: Sequence[str]) -> None:
    """Put modules with int8 weights, all zero, in the place of those named.

    A name that the model lacks is passed over, as the stages of a cascade have one list.

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
    for module in modules.values():
        if _stays_int8(module) and module.intermediate.LayerNorm is None:
            module.intermediate.apart = UnitsApart(module.intermediate.dense.in_features)


def _stays_int8(module: Any) -> bool:
    """Whether it is a layer whose feed-forward block is int8 from end to end.

    GELU is computed as part of the product. Other activations and gates are computed in float32 between two products.
    """
    block = getattr(module, "intermediate", None)
    if not isinstance(block, Intermediate) or block.gelu is None:
        return False
    return isinstance(block.dense, Int8Linear) and isinstance(module.output.dense, Int8Linear)


def in_int8(
    model: Any, names: Sequence[str], columns: Mapping[str, Tensor], stages: Sequence[int] | None = None
) -> Any:
    """A copy of a model, or of a cascade, whose modules of these names have int8 weights.

    Args:
        model: float32, on the CPU; its modules are not int8 yet.
        names: of modules, as they are within a stage.
        columns: of each linear layer, by its name within a stage, the least and the most number in each column that it
            reads, [2, d_in] (`quantize.ranges`).
        stages: numbers of a cascade's stages, from 0, that have int8 weights; None: all of them, or a model alone.
    """
    config = copy.deepcopy(model.config)
    config.int8 = list(names)
    if stages is not None:
        config.int8_stages = list(stages)
    made = type(model)(config).eval()
    wanted = made.state_dict()
    given, found = _with_units_apart(_of_each_stage(model.state_dict(), wanted), columns, wanted)
    converted = {name: tensor for name, tensor in given.items() if f"{name}_scale" not in wanted}
    one_scale = {f"{name}.output.dense.weight" for name, module in made.named_modules() if _stays_int8(module)}
    for name in given.keys() - converted.keys():
        converted |= _quantized(name, given, found, name in one_scale)
    made.load_state_dict(converted)
    return made


def _of_each_stage(state: dict[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """The state, with the tensors that stages shared and `wanted` has for each stage under both names."""
    shared = {name: _STAGE.sub("stages.0.", name) for name in wanted if name not in state}
    return state | {name: state[source] for name, source in shared.items() if source in state}


def _with_units_apart(
    state: dict[str, Tensor], columns: Mapping[str, Tensor], wanted: Collection[str]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The state with the largest units of each feed-forward block moved, and the columns without them.

    They go to where `wanted` has a place for them.
    """
    moved, left = dict(state), dict(columns)
    for name in wanted:
        place, apart, leaf = name.rpartition("intermediate.apart.")
        if not apart:
            continue
        up, bias, down = (f"{place}{own}" for own in _FEED_FORWARD)
        reader = _within_stage(down).removesuffix(".weight")
        units = columns[reader].abs().amax(0).topk(UNITS_APART).indices
        left[reader] = columns[reader].index_fill(1, units, 0)
        source = {"up": up, "bias": bias, "down": down}[leaf]
        moved[name] = state[source][:, units] if leaf == "down" else state[source][units]
        if leaf != "down":  # what is left of a unit is GELU(0), which is 0
            moved[source] = state[source].index_fill(0, units, 0)
    return moved, left


def _quantized(
    name: str, state: dict[str, Tensor], columns: Mapping[str, Tensor], one_scale: bool
) -> dict[str, Tensor]:
    """The tensors that take the place of a weight of this name.

    Args:
        name: of the weight.
        state: of the float32 model.
        columns: as of `in_int8`.
        one_scale: whether the layer reads the int8 numbers that a product leaves, whose columns cannot be divided.
    """
    weight, place = state[name], name.removesuffix(".weight")
    within = _within_stage(place)
    if within not in columns:  # a table of words reads no columns
        return dict(zip((name, f"{name}_scale"), quantized_weight(weight), strict=True))
    stage = place.removesuffix(within)
    readers = [state[f"{stage}{reader}.weight"] for reader in sharing(within)]
    divided = torch.ones(weight.shape[1]) if one_scale else smoothing(columns[within], readers)
    smooth = columns[within] / divided
    least, most = float(smooth.min()), float(smooth.max())
    if not _AFTER_ACTIVATION.search(within):  # symmetric, with zero at 0: a pass over the rows less
        least, most = -max(-least, most), max(-least, most)
    scale, zero = quantized_range(least, most)
    whole, weight_scale = quantized_weight(weight * divided)
    return {
        name: whole,
        f"{name}_scale": weight_scale,
        f"{place}.smoothing": divided,
        f"{place}.input_scale": torch.tensor(scale),
        f"{place}.input_zero": torch.tensor(zero, dtype=torch.int32),
    }


def _within_stage(name: str) -> str:
    """A name in a cascade as it is in its stage; of a model alone the name itself."""
    return _STAGE.sub("", name, count=1)


def sharing(name: str) -> list[str]:
    """Names of the layers that read the same rows as the one of this name: those of a self-attention, else itself."""
    place = name.rpartition(".")[0]
    return [f"{place}.{leaf}" for leaf in ("query", "key", "value")] if place.endswith("attention.self") else [name]
