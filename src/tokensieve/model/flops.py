"""FLOPs counted by hand: 2 per multiply-add of the matrix products, for our models and for dense alike.

Norms, softmax and activations are not counted.

The importance score of all queries is the column mean of probabilities that attention computes anyway: at inference it
costs passes over memory, and no matrix product of its own. (In training it is a pass of its own, see
kernels/backends.py, and is not counted.) Cells count their own cost: other scores, merging, combining.
"""

from __future__ import annotations

from tokensieve.kernels.window import keys_seen
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.head import pooled_width


def layer_flops(
    config: TokensieveConfig, rows: float, keys: float, rows_out: float, projected: float, *, local: bool = False
) -> float:
    """FLOPs of one layer.

    Args:
        config: sizes.
        rows: rows that enter, all of them queries.
        keys: rows that serve as keys and values.
        rows_out: rows left for output projection and feed-forward.
        projected: rows whose key and value are projected (more than `keys` where heads keep sets of their own).
        local: whether attention stays within the window; then a query is multiplied with the keys of its block's.
    """
    d, wide = config.hidden_size, config.intermediate_size
    narrow = d * config.key_value_heads // config.num_attention_heads
    projections = 2 * d * d * (rows + rows_out) + 2 * 2 * d * narrow * projected
    window = config.block.window
    seen = keys_seen(window, keys) if local and window is not None else keys
    attention = 2 * 2 * d * rows * seen
    feed_forward = 2 * (3 if config.block.gated else 2) * d * wide * rows_out
    return projections + attention + feed_forward


def embedding_flops(config: TokensieveConfig, text: int) -> int:
    """FLOPs of the projection of patches, or in families with narrower embeddings (ELECTRA); look-ups cost none."""
    if config.grid is not None:
        return 2 * max(0, text - config.grid.special) * config.grid.pixels * config.hidden_size
    narrow = config.embedding_size != config.hidden_size
    return int(2 * text * config.embedding_size * config.hidden_size) if narrow else 0


def head_flops(config: TokensieveConfig, left: float) -> int:
    """FLOPs of the head for one document of which so many tokens are left."""
    if config.settings.resolved_pooling == "pretrained":
        return _pretrained_head_flops(config, left)
    return 2 * config.hidden_size * (config.num_labels or 0)


def _pretrained_head_flops(config: TokensieveConfig, left: float) -> int:
    read = left if config.head_pooling == "late" else 1
    dense = 2 * config.hidden_size * config.hidden_size * read if config.head_dense else 0
    return int(dense + 2 * pooled_width(config) * (config.num_labels or 0))


def dense_flops(config: TokensieveConfig, length: int) -> int:
    """FLOPs of the same backbone with nothing reduced and its own head."""
    local = config.block.local_layers
    layers = sum(
        layer_flops(config, length, length, length, length, local=layer in local)
        for layer in range(config.num_hidden_layers)
    )
    return int(embedding_flops(config, length) + layers + _pretrained_head_flops(config, length))
