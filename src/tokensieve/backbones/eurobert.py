"""EuroBERT: RMSNorms first, rotary positions, heads of keys shared by heads of queries, a SwiGLU feed-forward block.

Source: Boizard et al., COLM 2025. Its head reads the first token, the mean, or all tokens ("late").
"""

from __future__ import annotations

from typing import Any

from tokensieve.backbones.family import Family, is_plain_rotation, shared_fields
from tokensieve.checks import BOOLEAN, Check, one_of, whole
from tokensieve.errors import ConfigError
from tokensieve.model.block import Blocks

_LAYER = r"layers\.(\d+)\."
_ATTENTION = _LAYER + r"self_attn\."
_OURS = r"encoder.layer.\1."
_POOLINGS = {"bos": "cls", "mean": "mean", "late": "late"}
_PROJECTIONS = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}


class _EuroBert(Family):
    def sizes(self, config: Any) -> dict[str, Any]:
        rotation, heads = config.rope_parameters, config.num_attention_heads
        if not is_plain_rotation(rotation):
            raise ConfigError(f"rope_parameters={rotation!r}: {_ROTATION.remedy}")
        if config.head_dim not in (None, config.hidden_size // heads):
            raise ConfigError(
                f"head_dim={config.head_dim} with hidden_size={config.hidden_size}, num_attention_heads={heads}: heads "
                f"of another width than {config.hidden_size // heads} are not computed; give a checkpoint without them"
            )
        blocks = Blocks(
            norm_first=True,
            norm="rms",
            embedding_norm=False,
            attention_bias=config.attention_bias,
            key_value_heads=0 if config.num_key_value_heads in (None, heads) else config.num_key_value_heads,
            feed_forward_bias=config.mlp_bias,
            gated=True,
            position_table=False,
            rotary_base=rotation["rope_theta"],
        )
        return {
            **super().sizes(config),
            "blocks": blocks.to_dict(),
            "head_pooling": _POOLINGS[config.classifier_pooling],
        }

    def theirs(self, config: Any) -> dict[str, Any]:
        blocks = config.block
        return {
            **super().theirs(config),
            "num_key_value_heads": config.key_value_heads,
            "attention_bias": blocks.attention_bias,
            "mlp_bias": blocks.feed_forward_bias,
            "rope_parameters": {"rope_type": "default", "rope_theta": blocks.rotary_base},
            "classifier_pooling": next(name for name, own in _POOLINGS.items() if own == config.head_pooling),
        }


_ROTATION = Check(is_plain_rotation, "give rope_type 'default' and a number as rope_theta; no other is computed")

EUROBERT = _EuroBert(
    name="eurobert",
    prefix="model.",
    names=(
        (r"embed_tokens\.weight", r"embeddings.word_embeddings.weight"),
        (_LAYER + r"input_layernorm\.(.+)", _OURS + r"attention.self.LayerNorm.\2"),
        *((_ATTENTION + their + r"\.(.+)", _OURS + rf"attention.self.{own}.\2") for own, their in _PROJECTIONS.items()),
        (_ATTENTION + r"o_proj\.(.+)", _OURS + r"attention.output.dense.\2"),
        (_LAYER + r"post_attention_layernorm\.(.+)", _OURS + r"intermediate.LayerNorm.\2"),
        (_LAYER + r"mlp\.gate_proj\.(.+)", _OURS + r"intermediate.dense.\2"),
        (_LAYER + r"mlp\.down_proj\.(.+)", _OURS + r"output.dense.\2"),
        (r"norm\.(.+)", r"encoder.LayerNorm.\1"),
    ),
    joined=("mlp.gate_proj.", "mlp.up_proj."),
    fields=shared_fields(
        *("hidden_dropout_prob", "classifier_dropout", "type_vocab_size"),
        attention_probs_dropout_prob="attention_dropout",
        layer_norm_eps="rms_norm_eps",
    ),
    head={"dense": "dense", "classifier": "classifier"},
    fixed={"type_vocab_size": 0, "hidden_dropout_prob": 0.0, "classifier_dropout": 0.0, "head_activation": "gelu"},
    own_fields={
        "num_key_value_heads": whole(1).or_none(),
        "head_dim": whole(1).or_none(),
        "rope_parameters": _ROTATION.or_none(),
        "classifier_pooling": one_of(tuple(_POOLINGS)),
        "attention_bias": BOOLEAN,
        "mlp_bias": BOOLEAN,
    },
)
