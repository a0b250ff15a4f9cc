"""MPNet: positions as in RoBERTa, and a bias by relative position that all layers share; no segments."""

from typing import Any

from tokensieve.backbones.family import BERT_LAYERS, EMBEDDINGS, Family, shared_fields
from tokensieve.errors import ConfigError

_LAYER = r"encoder\.layer\.(\d+)\.attention\."
_OURS = r"encoder.layer.\1.attention."
_PADDING, _BUCKETS = 1, 32  # transformers' code has these numbers, whatever the config says


class _MPNet(Family):
    def sizes(self, config: Any) -> dict[str, Any]:
        for name, only in (("pad_token_id", _PADDING), ("relative_attention_num_buckets", _BUCKETS)):
            if getattr(config, name) != only:
                raise ConfigError(f"{name}={getattr(config, name)!r}: transformers computes an MPNet with {only} alone")
        return super().sizes(config)


MPNET = _MPNet(
    name="mpnet",
    prefix="mpnet.",
    names=(
        EMBEDDINGS,
        (r"encoder\.relative_attention_bias\.weight", r"encoder.positions.relative.weight"),
        (_LAYER + r"attn\.q\.(.+)", _OURS + r"self.query.\2"),
        (_LAYER + r"attn\.k\.(.+)", _OURS + r"self.key.\2"),
        (_LAYER + r"attn\.v\.(.+)", _OURS + r"self.value.\2"),
        (_LAYER + r"attn\.o\.(.+)", _OURS + r"output.dense.\2"),
        (_LAYER + r"LayerNorm\.(.+)", _OURS + r"output.LayerNorm.\2"),
        BERT_LAYERS,
    ),
    fields=shared_fields("type_vocab_size", "classifier_dropout"),
    head={"classifier.dense": "dense", "classifier.out_proj": "classifier"},
    attention="eager",
    fixed={
        "type_vocab_size": 0,
        "position_offset": _PADDING + 1,
        "positions_skip_padding": True,
        "pair_separators": 2,
        "head_input_dropout": True,
        "blocks": {"relative_buckets": _BUCKETS},
    },
)
