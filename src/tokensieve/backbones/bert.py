"""BERT, whose names are ours. Head: pooler (tanh), dropout, classifier."""

from tokensieve.backbones.family import BERT_LAYERS, EMBEDDINGS, Family, shared_sizes

BERT = Family(
    name="bert",
    prefix="bert.",
    names=(EMBEDDINGS, BERT_LAYERS),
    sizes=shared_sizes,
    head={"pooler.dense": "dense", "classifier": "classifier"},
)
