"""ModernBERT, mmBERT and Ettin: norms first, rotary positions, local layers, a gated feed-forward block.

Dropout, which all published checkpoints have at 0, acts at the end of both blocks here, and not within the second one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokensieve.backbones.family import Family, is_plain_rotation, shared_fields
from tokensieve.checks import BOOLEAN, TEXT, Check, list_of, number, one_of, whole
from tokensieve.errors import ConfigError
from tokensieve.model.block import Blocks

_GLOBAL, _LOCAL = "full_attention", "sliding_attention"
_LAYER = r"layers\.(\d+)\."
_OURS = r"encoder.layer.\1."
_BIASES = {"norm_bias": "norm_bias", "attention_bias": "attention_bias", "feed_forward_bias": "mlp_bias"}


_BESIDE = (("rope_type", "default"), ("rope_theta", None))
"""What transformers 5.0 writes beside the two kinds of layers, and nothing reads."""


def _is_rotation(parameters: object) -> bool:
    """Whether it describes the plain rotations of both kinds of layers, as far as it describes them."""
    if not isinstance(parameters, Mapping):
        return False
    kinds = {name: own for name, own in parameters.items() if (name, own) not in _BESIDE}
    if not kinds.keys() <= {_GLOBAL, _LOCAL}:
        return False
    return all(map(is_plain_rotation, kinds.values()))


class _ModernBert(Family):
    def sizes(self, config: Any) -> dict[str, Any]:
        rotation = config.rope_parameters
        if not _is_rotation(rotation):
            raise ConfigError(f"rope_parameters={rotation!r}: {_ROTATION.remedy}")
        local = tuple(layer for layer, kind in enumerate(config.layer_types) if kind == _LOCAL)
        blocks = Blocks(
            norm_first=True,
            first_norm=False,  # the embeddings' own serves
            gated=True,
            position_table=False,
            rotary_base=rotation[_GLOBAL]["rope_theta"],
            local_rotary_base=rotation[_LOCAL]["rope_theta"],
            window=config.local_attention // 2 if local else None,
            local_layers=local,
            **{ours: getattr(config, theirs) for ours, theirs in _BIASES.items()},
        )
        return {**super().sizes(config), "blocks": blocks.to_dict()}

    def theirs(self, config: Any) -> dict[str, Any]:
        blocks, layers = config.block, range(config.num_hidden_layers)
        bases = {_GLOBAL: blocks.rotary_base, _LOCAL: blocks.local_rotary_base or blocks.rotary_base}
        return {
            **super().theirs(config),
            **{theirs: getattr(blocks, ours) for ours, theirs in _BIASES.items()},
            "rope_parameters": {kind: {"rope_type": "default", "rope_theta": base} for kind, base in bases.items()},
            "layer_types": [_LOCAL if layer in blocks.local_layers else _GLOBAL for layer in layers],
            **({} if blocks.window is None else {"local_attention": 2 * blocks.window}),
        }


_ROTATION = Check(
    _is_rotation,
    f"give {_GLOBAL} and {_LOCAL} with rope_type 'default' and a number as rope_theta; no other is computed",
)

MODERNBERT = _ModernBert(
    name="modernbert",
    prefix="model.",
    names=(
        (r"embeddings\.tok_embeddings\.weight", r"embeddings.word_embeddings.weight"),
        (r"embeddings\.norm\.(.+)", r"embeddings.LayerNorm.\1"),
        (_LAYER + r"attn_norm\.(.+)", _OURS + r"attention.self.LayerNorm.\2"),
        (_LAYER + r"attn\.Wqkv\.(.+)", tuple(_OURS + rf"attention.self.{own}.\2" for own in ("query", "key", "value"))),
        (_LAYER + r"attn\.Wo\.(.+)", _OURS + r"attention.output.dense.\2"),
        (_LAYER + r"mlp_norm\.(.+)", _OURS + r"intermediate.LayerNorm.\2"),
        (_LAYER + r"mlp\.Wi\.(.+)", _OURS + r"intermediate.dense.\2"),
        (_LAYER + r"mlp\.Wo\.(.+)", _OURS + r"output.dense.\2"),
        (r"final_norm\.(.+)", r"encoder.LayerNorm.\1"),
    ),
    fields={
        **shared_fields(
            "type_vocab_size",
            hidden_act="hidden_activation",
            hidden_dropout_prob="mlp_dropout",
            attention_probs_dropout_prob="attention_dropout",
            layer_norm_eps="norm_eps",
        ),
        "head_activation": "classifier_activation",
        "head_bias": "classifier_bias",
        "head_pooling": "classifier_pooling",
    },
    head={"head.dense": "dense", "head.norm": "LayerNorm", "classifier": "classifier"},
    fixed={"type_vocab_size": 0, "head_norm": True},
    own_fields={
        "position_embedding_type": TEXT.or_none(),  # means nothing in this family
        "layer_types": list_of(one_of((_GLOBAL, _LOCAL)), f"{_GLOBAL} and {_LOCAL}").or_none(),
        "rope_parameters": _ROTATION.or_none(),
        "local_attention": whole(2, 2**20),
        "initializer_cutoff_factor": number(lambda factor: 0 < factor <= 100, "a number above 0, at most 100"),
        **dict.fromkeys((*_BIASES.values(), "decoder_bias"), BOOLEAN),
    },
)
