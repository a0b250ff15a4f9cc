"""FLOPs by hand: 2 per multiply-add of the matrix products. Norms, softmax and activations are counted on neither side.

The importance score of all queries is the column mean of probabilities that attention computes anyway: at inference it
costs passes over memory, and no matrix product of its own. (In training it is a pass of its own, see
kernels/backends.py, and is not counted.) What other scores, merging and combining cost, their cells tell.
"""

from __future__ import annotations

from tokensieve.model.configuration import TokensieveConfig


def layer_flops(config: TokensieveConfig, rows: float, keys: float, going_on: float, projected: float) -> float:
    """One layer.

    Args:
        config: sizes.
        rows: rows that enter, all of them queries.
        keys: rows that serve as keys and values.
        going_on: rows left for output projection and feed-forward.
        projected: rows whose key and value are projected (more than `keys` where heads keep sets of their own).
    """
    d, wide = config.hidden_size, config.intermediate_size
    projections = 2 * d * d * (rows + 2 * projected + going_on)
    attention = 2 * 2 * d * rows * keys
    feed_forward = 2 * 2 * d * wide * going_on
    return projections + attention + feed_forward


def embedding_flops(config: TokensieveConfig, text: int) -> int:
    """The projection of families whose embeddings are narrower (ELECTRA); look-ups are no multiply-adds."""
    narrow = config.embedding_size != config.hidden_size
    return int(2 * text * config.embedding_size * config.hidden_size) if narrow else 0


def head_flops(config: TokensieveConfig) -> int:
    """The head, once a document."""
    d = config.hidden_size
    labels = config.num_labels or 0
    dense = 2 * d * d if config.settings.resolved_pooling == "pretrained" else 0
    return dense + 2 * d * labels


def dense_flops(config: TokensieveConfig, length: int) -> int:
    """The same backbone with nothing reduced and its own head."""
    d, labels = config.hidden_size, config.num_labels or 0
    layers = config.num_hidden_layers * layer_flops(config, length, length, length, length)
    return int(embedding_flops(config, length) + layers + 2 * d * d + 2 * d * labels)
