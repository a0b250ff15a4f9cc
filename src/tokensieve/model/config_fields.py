"""Checks of the fields of a model's config.json: one table for our own fields, one for those of transformers.

`TokensieveConfig` applies both when it is built, so that a wrong value fails when the folder is read and not at the
first document. Source checkpoints are checked by the same tables, under their own names (`backbones.record`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.activations import ACT2FN

from tokensieve.checks import (
    BOOLEAN,
    TEXT,
    Check,
    check_values,
    is_number,
    is_whole,
    list_of,
    number,
    one_of,
    shown,
    whole,
)
from tokensieve.errors import ConfigError
from tokensieve.kernels.backends import BACKENDS

PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression")
_ACTIVATIONS = tuple(sorted(set(ACT2FN) - {"prelu", "xielu"}))  # these two have weights, which no family has
MOST_POSITIONS = 262_144
SHORTEST = 3  # tokens of a document: two special ones, and text
_MOST_PARAMETERS = 2**34
"""Most parameters of a whole model: 64 GB in float32. The largest model of these families has 11e9. A config that asks
for more is a mistake, and would fill the machine's memory before it is compared with the weights."""

_DROPOUT = number(lambda share: 0 <= share < 1, "a number of 0 or more and below 1")
_EPSILON = number(lambda epsilon: 1e-20 <= epsilon <= 0.1, "a number from 1e-20 to 0.1")
_ID = whole(0)
TEMPERATURE = number(lambda heat: 1e-3 <= heat <= 1e3, "a number from 0.001 to 1000")

FIELDS: dict[str, Check] = {
    "family": TEXT,
    "blocks": Check(lambda blocks: isinstance(blocks, Mapping), "give the record of the backbone's blocks"),
    "pair_separators": whole(1, 2).or_none(),
    "vocab_size": whole(1, 2_000_000),
    "hidden_size": whole(1, 16_384),
    "num_hidden_layers": whole(1, 256),
    "num_attention_heads": whole(1, 16_384),
    "intermediate_size": whole(1, 262_144),
    "hidden_act": one_of(_ACTIVATIONS),
    "hidden_dropout_prob": _DROPOUT,
    "attention_probs_dropout_prob": _DROPOUT,
    "classifier_dropout": _DROPOUT.or_none(),
    "max_position_embeddings": whole(1, MOST_POSITIONS),
    "type_vocab_size": whole(0, 1000),
    "embedding_size": whole(1, 16_384).or_none(),
    "position_offset": whole(0, MOST_POSITIONS),
    "positions_skip_padding": BOOLEAN,
    "head_activation": one_of(_ACTIVATIONS),
    "head_input_dropout": BOOLEAN,
    "head_bias": BOOLEAN,
    "head_norm": BOOLEAN,
    "head_pooling": one_of(("cls", "mean", "late", "others", "cls+others")),
    "head_dense": BOOLEAN,
    "patches": Check(lambda patches: isinstance(patches, Mapping), "give the record of the family's patches").or_none(),
    "initializer_range": number(lambda spread: 0 <= spread <= 100, "a number of 0 or more, at most 100"),
    "layer_norm_eps": _EPSILON,
    "special_token_ids": list_of(_ID, "ids of the vocabulary").or_none(),
    "tokenize_length": whole(SHORTEST).or_none(),
    "text_pairs": BOOLEAN.or_none(),
    "int8": list_of(TEXT, "names of modules").or_none(),
    "attention_backend": one_of(("auto", *BACKENDS)),
}
"""Our own fields. `ReductionConfig` checks the reduction settings, `check_calibration` the calibration."""


def _is_dtype(value: object) -> bool:
    named = getattr(torch, value, None) if isinstance(value, str) else value
    return isinstance(named, torch.dtype) and named.is_floating_point


def _label_ids(labels: Mapping[Any, object]) -> list[int] | None:
    """The ids of a record of labels, whose keys are texts in JSON; None where a key is no id."""
    try:
        return sorted(int(key) for key in labels)
    except (TypeError, ValueError):
        return None


def _is_labels(labels: object) -> bool:
    """Whether ids count from 0 and their names differ."""
    if not isinstance(labels, Mapping) or _label_ids(labels) != list(range(len(labels))) or not labels:
        return False
    scalars = all(isinstance(name, str) or is_number(name) for name in labels.values())
    return scalars and len(set(map(str, labels.values()))) == len(labels)


LABELS = Check(_is_labels, "give each label's id, counted from 0, with a name that no other label has").or_none()
_FLAG = BOOLEAN.or_none()
_NOTHING = Check(lambda value: value is None, "leave it out: models and weights of that kind cannot be read")
_WEIGHTS = (".safetensors", ".safetensors.index.json")
_KERNELS = one_of(("eager", "sdpa")).or_none()  # another name may stand for code on the hub

BASE_FIELDS: dict[str, Check] = {
    "model_type": TEXT,
    "architectures": list_of(TEXT, "texts").or_none(),
    "dtype": Check(_is_dtype, "give the name of a floating point type of torch, such as 'float32'").or_none(),
    "torch_dtype": Check(_is_dtype, "give the name of a floating point type of torch, such as 'float32'").or_none(),
    "id2label": LABELS,
    "label2id": Check(
        lambda ids: isinstance(ids, Mapping) and all(map(is_whole, ids.values())), "give each label's name with its id"
    ).or_none(),
    "num_labels": whole(1, 1_000_000),
    "problem_type": one_of(PROBLEM_TYPES).or_none(),
    "return_dict": _FLAG,
    "output_hidden_states": _FLAG,
    "output_attentions": _FLAG,
    "is_encoder_decoder": _FLAG,
    "is_decoder": _FLAG,
    "add_cross_attention": _FLAG,
    "tie_word_embeddings": _FLAG,
    "chunk_size_feed_forward": whole(0).or_none(),
    "pad_token_id": _ID.or_none(),
    "transformers_version": TEXT.or_none(),
    "attn_implementation": _KERNELS,
    "_attn_implementation": _KERNELS,
    "experts_implementation": _KERNELS,
    "_experts_implementation": _KERNELS,
    **dict.fromkeys(
        (
            "quantization_config",
            "fusion_config",
            "per_layer_config",
            "configuration_files",
            "layer_types",
            "mlp_layer_types",
            "rope_parameters",
            "rope_scaling",
        ),
        _NOTHING,
    ),
    "transformers_weights": Check(
        lambda file: isinstance(file, str) and Path(file).name == file and file.endswith(_WEIGHTS),
        "give the name of a safetensors file in the same folder",
    ).or_none(),
}
"""Fields that mean something to transformers in every config: a wrong value would fail later, or read another file."""


def check_base_fields(values: Mapping[str, object], cls: type) -> None:
    """Check transformers' own fields of a config's record, before transformers reads them.

    Args:
        values: the record, or the part of it that transformers gets.
        cls: the config's class; a field may not take the name of one of its methods.

    Raises:
        ConfigError: names the field, its value and the remedy.
    """
    check_values(values, BASE_FIELDS)
    labels = values.get("id2label")
    count = len(labels) if isinstance(labels, Mapping) else values.get("num_labels")  # the names win
    if values.get("problem_type") == "single_label_classification" and count == 1:
        raise ConfigError(
            "problem_type='single_label_classification' with num_labels=1: give 2 labels or more (id2label), or "
            "problem_type='regression' for one output"
        )
    check_names(values, cls)


def check_names(names: Iterable[str], cls: type) -> None:
    """Refuse fields that would hide a method, a property or a constant of the config's class.

    Raises:
        ConfigError: names the first of them.
    """
    settable = BASE_FIELDS.keys() | ({field.name for field in fields(cls)} if is_dataclass(cls) else set())
    for name in names:
        member = getattr(cls, name, None)
        may_be_set = name in settable or (isinstance(member, property) and member.fset is not None)
        if name in ("self", "cls") or (hasattr(cls, name) and not may_be_set):
            raise ConfigError(f"{name} is a name that {cls.__name__} uses itself: leave this field out")


def check_sizes(config: Any) -> None:
    """Raise ConfigError unless the sizes and ids of a config, each checked already, go together."""
    if config.hidden_size % config.num_attention_heads:
        raise ConfigError(
            f"hidden_size={config.hidden_size} cannot be divided among num_attention_heads={config.num_attention_heads}"
        )
    ids = {"pad_token_id": [config.pad_token_id], "special_token_ids": config.special_token_ids or []}
    for name, tokens in ids.items():
        if any(token is not None and token >= config.vocab_size for token in tokens):
            raise ConfigError(
                f"{name}={shown(getattr(config, name))} with vocab_size={config.vocab_size}: give ids of the "
                "vocabulary, which count from 0"
            )
    blocks, width = config.block, config.hidden_size
    if blocks.key_value_heads and config.num_attention_heads % blocks.key_value_heads:
        raise ConfigError(
            f"blocks: key_value_heads={blocks.key_value_heads} with num_attention_heads={config.num_attention_heads}: "
            "each head of keys serves as many heads of queries, so give a divisor"
        )
    if blocks.local_layers and max(blocks.local_layers) >= config.num_hidden_layers:
        raise ConfigError(
            f"blocks: local_layers={shown(list(blocks.local_layers))} with num_hidden_layers="
            f"{config.num_hidden_layers}: give numbers of layers, which count from 0"
        )
    if blocks.rotary_base is not None and width // config.num_attention_heads % 2:
        raise ConfigError(
            f"hidden_size={width}, num_attention_heads={config.num_attention_heads}: halves of a head are rotated, so "
            "give an even number of dimensions for each head"
        )
    if config.max_position_embeddings - config.position_offset < SHORTEST:
        raise ConfigError(
            f"max_position_embeddings={config.max_position_embeddings}, position_offset={config.position_offset}: "
            f"fewer than {SHORTEST} positions are left for a document; give more positions or a smaller offset"
        )
    if config.positions_skip_padding and (config.pad_token_id is None or not config.position_offset):
        raise ConfigError(
            f"positions_skip_padding=True with pad_token_id={config.pad_token_id}, position_offset="
            f"{config.position_offset}: padding stands at the position before the first one; give its id, and an "
            "offset of 1 or more"
        )
    _check_parameters(config)


def _check_parameters(config: Any) -> None:
    blocks, width, wide = config.block, config.hidden_size, config.intermediate_size
    maps = 3 if blocks.gated else 2
    layers = config.num_hidden_layers * (4 * width * width + maps * width * wide)
    positions = config.max_position_embeddings if blocks.position_table else 0
    tables = (config.vocab_size + positions + config.type_vocab_size) * config.embedding_size
    if config.grid is not None:
        tables = (config.grid.positions + config.grid.pixels) * width
    if layers + tables > _MOST_PARAMETERS:
        raise ConfigError(
            f"vocab_size={config.vocab_size}, hidden_size={width}, intermediate_size={wide}, max_position_embeddings="
            f"{config.max_position_embeddings}, num_hidden_layers={config.num_hidden_layers}: a model of "
            f"{layers + tables:,} parameters; give the sizes of a model that fits into memory"
        )
