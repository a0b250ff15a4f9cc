"""ELECTRA: embeddings may be narrower than the layers and are then projected; head with GELU, its input dropped."""

from typing import Any

from tokensieve.backbones.family import BERT_LAYERS, EMBEDDINGS, Family, shared_sizes


def _sizes(host: Any) -> dict[str, Any]:
    own = {"embedding_size": host.embedding_size, "head_activation": "gelu", "head_input_dropout": True}
    return shared_sizes(host) | own


ELECTRA = Family(
    name="electra",
    prefix="electra.",
    names=(EMBEDDINGS, (r"embeddings_project\.(.+)", r"embeddings.projection.\1"), BERT_LAYERS),
    sizes=_sizes,
    head={"classifier.dense": "dense", "classifier.out_proj": "classifier"},
)
