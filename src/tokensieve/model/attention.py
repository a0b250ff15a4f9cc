"""Self-attention over packed tokens: queries are all rows, keys and values only the rows that still serve as such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from tokensieve.kernels.attend import attend
from tokensieve.kernels.backends import resolve_backend
from tokensieve.kernels.graph import Graph
from tokensieve.kernels.int8.instructions import attention_dtype
from tokensieve.kernels.int8.linear import Int8Linear
from tokensieve.kernels.linear import Linear
from tokensieve.kernels.received import Scoring
from tokensieve.kernels.relative import RelativeBias
from tokensieve.kernels.weighted import Near, weighted_attention
from tokensieve.kernels.window import Rows, attend_within
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.norms import norm_of
from tokensieve.model.positions import Places, rotated
from tokensieve.model.residual import ResidualOutput
from tokensieve.reduce.rows import KeyRows
from tokensieve.tokens import Tokens


class Attended(NamedTuple):
    """What attention gives.

    Attributes:
        context: [T, d].
        received: [H, K] float32, the attention that each key receives; None: not asked for.
        keys: [K, d_head] float32, the mean of each key over the heads, not turned by position; None: not asked for.
        graph: all attention between the rows; None: not asked for.
    """

    context: Tensor
    received: Tensor | None = None
    keys: Tensor | None = None
    graph: Graph | None = None


class Wanted(NamedTuple):
    """What a layer wants of attention beside the context.

    Attributes:
        scoring: the attention that its score is made of; None: none.
        keys: whether it wants the keys, by which tokens are compared.
        graph: whether it wants all attention between the rows.
    """

    scoring: Scoring | None = None
    keys: bool = False
    graph: bool = False


CONTEXT_ALONE = Wanted()


class SelfAttention(nn.Module):
    """Query, key and value projections around `attend`; ahead of them the norm, where norms come first.

    Args:
        config: sizes and blocks.
        number: of the layer in the source checkpoint, from 0.

    Attributes:
        shared_by: heads of queries that share one head of keys and values.
    """

    def __init__(self, config: TokensieveConfig, number: int) -> None:
        super().__init__()
        width, blocks = config.hidden_size, config.block
        normed = blocks.norm_first and (number > 0 or blocks.first_norm)
        self.LayerNorm = norm_of(width, config) if normed else None
        self.window = blocks.window if number in blocks.local_layers else None
        self.heads, self.head_size = config.num_attention_heads, width // config.num_attention_heads
        self.shared_by = self.heads // config.key_value_heads
        self.query: nn.Module = Linear(width, width, blocks.attention_bias)
        self.key: nn.Module = Linear(width, width // self.shared_by, blocks.attention_bias)
        self.value: nn.Module = Linear(width, width // self.shared_by, blocks.attention_bias)
        self.dropout = config.attention_probs_dropout_prob
        self.backend = resolve_backend(config.attention_backend)
        prune = config.settings.prune
        self.proportional = prune is not None and prune.merge is not None and prune.merge.proportional

    def forward(
        self,
        tokens: Tokens,
        keys: KeyRows | None,
        places: Places,
        exempt: Sequence[bool],
        wanted: Wanted = CONTEXT_ALONE,
        attended: Tokens | None = None,
        weights: Tensor | None = None,
    ) -> Attended:
        """Compute the context, and what else is wanted.

        Args:
            tokens: the batch; all of them are queries.
            keys: rows that serve as keys and values; None: all.
            places: what the positions of the batch mean.
            exempt: for each document, whether it is neither pruned nor scored.
            wanted: what to give beside the context. With the graph, rows are both queries and keys.
            attended: tokens of the same documents that keys and values are made of; None: `tokens`.
            weights: [T], how much each row counts as a key, where gates are trained; None: fully.
        """
        attended = attended or tokens
        query, key, value = self._projections(tokens, attended, keys)
        vectors = key.detach().float().mean(1) if wanted.keys else None
        sizes = attended.sizes if self.proportional else None
        queries = Rows(tokens.origin.unsqueeze(0), tokens.lengths)
        seen = queries if attended is tokens and keys is None else _served(attended, keys)
        query, key, bias = self._placed(query, key, queries, seen, places)
        dropout, received, graph = self.dropout if self.training else 0.0, None, None
        if wanted.graph:
            graph = Graph(query.detach(), key.detach(), tokens.lengths, tuple(exempt), bias, sizes)
        if weights is not None:
            near = Near(self.window, tokens.origin) if self.window else None
            lengths = tokens.lengths
            context = weighted_attention(query, key, value, lengths, weights, dropout=dropout, bias=bias, near=near)
        elif self.window and places.longest - 1 > self.window:
            assert wanted.scoring is None and not wanted.graph, "global layers alone are scored (`model.steps`)"
            rows, combination = None if seen is queries else seen, tokens.combination
            context = attend_within(
                self.window, query, key, value, queries, rows, combination=combination, dropout=dropout, sizes=sizes
            )
        else:
            context, received = attend(
                query,
                key,
                value,
                queries.lengths,
                seen.lengths,
                dropout=dropout,
                scoring=wanted.scoring,
                exempt=exempt,
                backend=self.backend,
                bias=bias,
                sizes=sizes,
            )
        return Attended(context, received, vectors, graph)

    def _placed(
        self, query: Tensor, key: Tensor, queries: Rows, seen: Rows, places: Places
    ) -> tuple[Tensor, Tensor, RelativeBias | None]:
        """Queries and keys, turned by their positions where the backbone does so, and the bias on their logits."""
        rotation = places.local_rotation if self.window else places.rotation
        if rotation is not None:
            query, key = rotated(query, rotation, queries.position), rotated(key, rotation, seen.position)
        bias = None if places.bias is None else RelativeBias(places.bias, queries.position[0], seen.position)
        return query, key, bias

    def _projections(self, tokens: Tokens, attended: Tokens, keys: KeyRows | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [T, H, d_head] of all tokens; keys and values [K, H, d_head] of those that serve as such."""
        rows = self._ready(tokens.values)
        if keys is None and attended is tokens:
            query, key, value = self._projected((self.query, self.key, self.value), rows)
            return query, self._for_all_heads(key), self._for_all_heads(value)
        key, value = self._keys_and_values(rows if attended is tokens else self._ready(attended.values), keys)
        (query,) = self._projected((self.query,), rows)
        return query, key, value

    def _keys_and_values(self, values: Tensor, keys: KeyRows | None) -> tuple[Tensor, Tensor]:
        shared = keys is not None and len(keys.rows) == 1
        if keys is not None and shared:  # by all heads: pruned rows are not even projected
            values = values.index_select(0, keys.rows[0])
        key, value = self._projected((self.key, self.value), values)
        if keys is None or shared:
            return self._for_all_heads(key), self._for_all_heads(value)
        heads = torch.arange(self.heads, device=values.device)  # [K, H] rows: every head has its own
        return key[keys.rows.T, heads // self.shared_by], value[keys.rows.T, heads // self.shared_by]

    def _for_all_heads(self, vectors: Tensor) -> Tensor:
        """Keys or values [K, H, d_head] of those that heads share."""
        return vectors if self.shared_by == 1 else vectors.repeat_interleave(self.shared_by, 1)

    def _ready(self, values: Tensor) -> Tensor:
        """Hidden states as all three projections take them: normed; int8, with one scale, if their weights are int8."""
        if self.LayerNorm is not None:
            values = self.LayerNorm(values)
        if (
            isinstance(self.query, Int8Linear)
            and isinstance(self.key, Int8Linear)
            and isinstance(self.value, Int8Linear)
        ):
            values = self.query.ready(values)
        return values

    def _projected(self, projections: Sequence[nn.Module], rows: Tensor) -> tuple[Tensor, ...]:
        """[T, H, d_head] each from [T, d]; of keys and values, H heads that may be shared."""
        first, *others = projections
        if isinstance(first, Int8Linear) and rows.dtype == torch.uint8:
            projected = first.beside(cast(list[Int8Linear], others), rows, attention_dtype(rows.device))
        else:
            projected = tuple(self._alone(projection, rows) for projection in projections)
        return tuple(torch.unflatten(own, -1, (-1, self.head_size)) for own in projected)

    def _alone(self, projection: nn.Module, rows: Tensor) -> Tensor:
        if isinstance(projection, Int8Linear):  # beside layers of float weights
            return projection(rows, dtype=attention_dtype(rows.device))  # type: ignore[no-any-return]
        return projection(rows)  # type: ignore[no-any-return]


def _served(attended: Tokens, keys: KeyRows | None) -> Rows:
    """Where the rows that serve as keys stand; None: all do."""
    if keys is None:
        return Rows(attended.origin.unsqueeze(0), attended.lengths)
    return Rows(attended.origin[keys.rows], keys.lengths)


class Attention(nn.Module):
    """Self-attention and its output block, grouped as in BERT so that parameter names agree."""

    def __init__(self, config: TokensieveConfig, number: int) -> None:
        super().__init__()
        self.self = SelfAttention(config, number)
        self.output = ResidualOutput(config.hidden_size, config, config.block.attention_bias)
