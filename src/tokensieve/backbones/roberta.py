"""RoBERTa, XLM-RoBERTa and CamemBERT: positions come from the ids, from pad_token_id + 1; the head drops its input."""

from typing import Any

from tokensieve.backbones.family import BERT_LAYERS, EMBEDDINGS, SHARED_FIELDS, Family


class _Roberta(Family):
    def sizes(self, config: Any) -> dict[str, Any]:
        sizes = super().sizes(config)
        pad = sizes["pad_token_id"]
        return {**sizes, "position_offset": 0 if pad is None else pad + 1}  # without padding it is refused


ROBERTA = _Roberta(
    name="roberta",
    prefix="roberta.",
    names=(EMBEDDINGS, BERT_LAYERS),
    fields=SHARED_FIELDS,
    head={"classifier.dense": "dense", "classifier.out_proj": "classifier"},
    fixed={"positions_skip_padding": True, "head_input_dropout": True},
)
