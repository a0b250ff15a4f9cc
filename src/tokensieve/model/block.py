"""Blocks: how the layers of a backbone are made, where families differ. The defaults are BERT's.

A family states its blocks once (`tokensieve.backbones`); they are saved in the model's config, and every module of a
layer is built from them. What no family here needs yet becomes one more field, which the module that it concerns reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from tokensieve.checks import BOOLEAN, Check, check_values, is_whole, list_of, number, one_of, refuse_unknown, whole
from tokensieve.errors import ConfigError

Norm = Literal["layer", "rms"]

_CHECKS: dict[str, Check] = {
    "norm_first": BOOLEAN,
    "first_norm": BOOLEAN,
    "last_norm": BOOLEAN,
    "norm": one_of(get_args(Norm)),
    "norm_bias": BOOLEAN,
    "embedding_norm": BOOLEAN,
    "attention_bias": BOOLEAN,
    "key_value_heads": whole(0),
    "feed_forward_bias": BOOLEAN,
    "gated": BOOLEAN,
    "layer_scale": BOOLEAN,
    "position_table": BOOLEAN,
    "rotary_base": number(lambda base: 1 < base <= 1e9, "a number above 1, at most 1e9").or_none(),
    "local_rotary_base": number(lambda base: 1 < base <= 1e9, "a number above 1, at most 1e9").or_none(),
    "window": whole(1).or_none(),
    "local_layers": list_of(whole(0), "numbers of layers, from 0"),
    "relative_buckets": Check(lambda buckets: buckets == 0 or is_whole(buckets, 4, 1024), "give 0, or 4 to 1024"),
}


@dataclass(frozen=True)
class Blocks:
    """The settings of all layers of a backbone.

    Attributes:
        norm_first: whether norms stand ahead of attention and feed-forward, with one more behind the last layer
            (pre-norm); False: they stand behind the residuals (post-norm).
        first_norm: with `norm_first`, whether the first layer has a norm ahead of its attention, too.
        last_norm: with `norm_first`, whether there is the one behind the last layer.
        norm: "layer" (LayerNorm) or "rms" (RMSNorm).
        norm_bias: whether a LayerNorm has a bias.
        embedding_norm: whether the vectors of a text's words are normed before the first layer.
        attention_bias: whether the linear maps of attention have biases.
        key_value_heads: number of heads of keys and values; each serves as many heads of queries (grouped-query
            attention, Ainslie et al., EMNLP 2023). 0: as many as there are of queries.
        feed_forward_bias: whether those of the feed-forward block have.
        gated: whether one half of the widened numbers multiplies the other half's activation: GeGLU with "gelu" as
            `hidden_act`, SwiGLU with "silu".
        layer_scale: whether a learned vector multiplies what each block adds to the residual (Touvron et al., ICCV
            2021).
        position_table: whether a position's learned vector is added to the word's.
        relative_buckets: number of buckets by which the distance from query to key adds a learned bias to the logits of
            attention, the same in all layers (`model.positions`); 0: no bias.
        rotary_base: the base of rotary positions: queries and keys are turned by their positions; None: they are not.
        local_rotary_base: the base in local layers; None: the same.
        window: how far a token stands at most from those that it sees in a local layer, in tokens of the document.
        local_layers: numbers of the local layers, from 0; the others are global.

    Raises:
        ConfigError: a field has a value of another type, or two do not go together.
    """

    norm_first: bool = False
    first_norm: bool = True
    last_norm: bool = True
    norm: Norm = "layer"
    norm_bias: bool = True
    embedding_norm: bool = True
    attention_bias: bool = True
    key_value_heads: int = 0
    feed_forward_bias: bool = True
    gated: bool = False
    layer_scale: bool = False
    position_table: bool = True
    relative_buckets: int = 0
    rotary_base: float | None = None
    local_rotary_base: float | None = None
    window: int | None = None
    local_layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_values(vars(self), _CHECKS)
        object.__setattr__(self, "local_layers", tuple(self.local_layers))  # JSON has a list
        if bool(self.local_layers) != (self.window is not None):
            raise ConfigError(
                f"window={self.window}, local_layers={list(self.local_layers)}: give both, or none of them"
            )
        if self.local_rotary_base is not None and self.rotary_base is None:
            raise ConfigError(f"local_rotary_base={self.local_rotary_base:g} without rotary_base: give both")
        if self.window is not None and self.relative_buckets:
            raise ConfigError(f"window={self.window} with relative_buckets={self.relative_buckets}: give one of them")

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> Blocks:
        """Read a record of fields; those that it lacks are as in BERT.

        Raises:
            ConfigError: a field that there is none of, or a refused value.
        """
        refuse_unknown(record, [field.name for field in fields(Blocks)])
        return Blocks(**record)

    def to_dict(self) -> dict[str, Any]:
        """The fields that differ from BERT's, for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        differing = {field.name: values[field.name] for field in fields(self) if values[field.name] != field.default}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in differing.items()}
