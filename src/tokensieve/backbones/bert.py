"""BERT, whose names are ours. Head: pooler (tanh), dropout, classifier."""

from tokensieve.backbones.family import BERT_LAYERS, EMBEDDINGS, SHARED_FIELDS, Family

BERT = Family(
    name="bert",
    prefix="bert.",
    names=(EMBEDDINGS, BERT_LAYERS),
    fields=SHARED_FIELDS,
    head={"pooler.dense": "dense", "classifier": "classifier"},
)
