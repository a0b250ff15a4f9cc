"""ELECTRA: embeddings may be narrower than the layers and are then projected; head with GELU, its input dropped."""

from tokensieve.backbones.family import BERT_LAYERS, EMBEDDINGS, SHARED_FIELDS, Family

ELECTRA = Family(
    name="electra",
    prefix="electra.",
    names=(EMBEDDINGS, (r"embeddings_project\.(.+)", r"embeddings.projection.\1"), BERT_LAYERS),
    fields={**SHARED_FIELDS, "embedding_size": "embedding_size"},
    head={"classifier.dense": "dense", "classifier.out_proj": "classifier"},
    fixed={"head_activation": "gelu", "head_input_dropout": True},
)
