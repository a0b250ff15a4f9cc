"""RoBERTa and XLM-RoBERTa: positions come from the ids and begin at pad_token_id + 1; the head drops its input."""

from typing import Any

from tokensieve.backbones.family import BERT_LAYERS, EMBEDDINGS, Family, shared_sizes


def _sizes(host: Any) -> dict[str, Any]:
    own = {"position_offset": host.pad_token_id + 1, "positions_skip_padding": True, "head_input_dropout": True}
    return shared_sizes(host) | own


ROBERTA = Family(
    name="roberta",
    prefix="roberta.",
    names=(EMBEDDINGS, BERT_LAYERS),
    sizes=_sizes,
    head={"classifier.dense": "dense", "classifier.out_proj": "classifier"},
)
