"""RoBERTa, XLM-RoBERTa and CamemBERT: positions come from the ids, from pad_token_id + 1; the head drops its input."""

from typing import Any

from tokensieve.backbones.family import BERT_LAYERS, EMBEDDINGS, SHARED_FIELDS, Family
from tokensieve.errors import ConfigError
from tokensieve.model.config_fields import SHORTEST


class _Roberta(Family):
    def sizes(self, config: Any) -> dict[str, Any]:
        sizes = super().sizes(config)
        pad, positions = sizes["pad_token_id"], sizes["max_position_embeddings"]
        if pad is None:
            return sizes  # it is refused with the other sizes
        if pad + 1 + SHORTEST > positions:
            raise ConfigError(
                f"pad_token_id={pad} with max_position_embeddings={positions}: a document's first token stands at the "
                f"position behind it, and {SHORTEST} are needed; give a smaller id or more positions"
            )
        return {**sizes, "position_offset": pad + 1}


ROBERTA = _Roberta(
    name="roberta",
    prefix="roberta.",
    names=(EMBEDDINGS, BERT_LAYERS),
    fields=SHARED_FIELDS,
    head={"classifier.dense": "dense", "classifier.out_proj": "classifier"},
    fixed={"positions_skip_padding": True, "head_input_dropout": True},
)
