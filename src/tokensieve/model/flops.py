"""FLOPs by hand: 2 per multiply-add of the matrix products. Norms, softmax and activations are counted on neither side.

The importance score of all queries is the column mean of probabilities that attention computes anyway: at inference it
costs passes over memory, and no matrix product of its own. Where few queries are scored, their products with the keys
are made once more, and counted. (In training those of all queries are, see kernels/backends.py, and are not counted.)
A learned score is a product of its own, and counted.
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


def score_flops(config: TokensieveConfig, queries: float, keys: float) -> float:
    """Query x key of the queries that are scored beside fused attention."""
    return 2 * config.hidden_size * queries * keys


def importance_flops(config: TokensieveConfig, rows: float) -> float:
    """The learned score of all rows that stand before the layer."""
    return 2 * config.hidden_size * rows


def merge_flops(config: TokensieveConfig, rows: float, going_on: float) -> float:
    """Similarity of the rows that leave with those that go on."""
    return 2 * config.hidden_size * (rows - going_on) * going_on


def combine_flops(config: TokensieveConfig, text: float) -> float:
    """The combining module on `text` tokens: W_k, W_v and both products over the text; W_q, W_o over the m tokens."""
    d, m = config.hidden_size, config.settings.combination_tokens
    return 2 * d * d * (2 * text + 2 * m) + 2 * 2 * d * m * text


def embedding_flops(config: TokensieveConfig, text: int) -> int:
    """The projection of families whose embeddings are narrower (ELECTRA); look-ups are no multiply-adds."""
    narrow = config.embedding_size != config.hidden_size
    return int(2 * text * config.embedding_size * config.hidden_size) if narrow else 0


def head_flops(config: TokensieveConfig) -> int:
    """The head, once a document."""
    d = config.hidden_size
    labels = config.num_labels or 0
    dense = 2 * d * d if config.settings.resolved_pooling == "host" else 0
    return dense + 2 * d * labels


def dense_flops(config: TokensieveConfig, length: int) -> int:
    """The same backbone with nothing reduced and its own head."""
    d, labels = config.hidden_size, config.num_labels or 0
    layers = config.num_hidden_layers * layer_flops(config, length, length, length, length)
    return int(embedding_flops(config, length) + layers + 2 * d * d + 2 * d * labels)
