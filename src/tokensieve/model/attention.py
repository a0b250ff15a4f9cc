"""Self-attention over packed tokens: queries are all rows, keys and values only the rows that still serve as such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tokensieve.kernels.attend import attend
from tokensieve.kernels.backends import resolve_backend
from tokensieve.kernels.graph import Graph
from tokensieve.kernels.int8 import Int8Linear, attention_dtype
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
        scored: Scoring | None,
        exempt: Sequence[bool],
        attended: Tokens | None = None,
        compared: bool = False,
        weights: Tensor | None = None,
        linked: bool = False,
    ) -> Attended:
        """Compute the context and, with `scored`, the attention that each key receives.

        Args:
            tokens: the batch; all of them are queries.
            keys: rows that serve as keys and values; None: all.
            places: what the positions of the batch mean.
            scored: the attention that the score is made of; None: no score needs any.
            exempt: for each document, whether it is neither pruned nor scored.
            attended: tokens of the same documents that keys and values are made of; None: `tokens`.
            compared: whether to give the keys too, by which tokens are compared.
            weights: [T], how much each row counts as a key, where gates are trained; None: fully.
            linked: whether to give all attention too; then rows are both queries and keys.
        """
        attended = attended or tokens
        rows = self._ready(tokens.values)
        query = self._projected(self.query, rows)
        key, value = self._keys_and_values(rows if attended is tokens else self._ready(attended.values), keys)
        vectors = key.detach().float().mean(1) if compared else None
        sizes = attended.sizes if self.proportional else None
        bias, near, key_lengths = None, None, attended.lengths if keys is None else keys.lengths
        dropout = self.dropout if self.training else 0.0
        if places.longest:  # else no layer asks for positions
            at = tokens.origin.unsqueeze(0)
            key_at = attended.origin.unsqueeze(0) if keys is None else attended.origin[keys.rows]
            rotation = places.local_rotation if self.window else places.rotation
            if rotation is not None:
                query, key = rotated(query, rotation, at), rotated(key, rotation, key_at)
            if self.window and weights is not None:
                near = Near(self.window, tokens.origin)
            elif self.window and places.longest - 1 > self.window:
                assert scored is None and not linked, "attention is scored in global layers alone (`model.steps`)"
                same = keys is None and attended is tokens
                queries, seen = Rows(at, tokens.lengths), None if same else Rows(key_at, key_lengths)
                m = tokens.combination
                context = attend_within(
                    self.window, query, key, value, queries, seen, combination=m, dropout=dropout, sizes=sizes
                )
                return Attended(context, None, vectors)
            bias = None if places.bias is None else RelativeBias(places.bias, at[0], key_at)
        graph = Graph(query.detach(), key.detach(), tokens.lengths, tuple(exempt), bias, sizes) if linked else None
        if weights is not None:
            lengths = tokens.lengths
            context = weighted_attention(query, key, value, lengths, weights, dropout=dropout, bias=bias, near=near)
            return Attended(context, None, vectors, graph)
        context, received = attend(
            query,
            key,
            value,
            tokens.lengths,
            key_lengths,
            dropout=dropout,
            scored=None if scored is None else scored.queries,
            exempt=exempt,
            backend=self.backend,
            bias=bias,
            sizes=sizes,
            own=scored is None or scored.own,
            attached=scored is not None and scored.attached,
        )
        return Attended(context, received, vectors, graph)

    def _keys_and_values(self, values: Tensor, keys: KeyRows | None) -> tuple[Tensor, Tensor]:
        shared = keys is not None and len(keys.rows) == 1
        if keys is not None and shared:  # by all heads: pruned rows are not even projected
            values = values.index_select(0, keys.rows[0])
        key, value = self._projected(self.key, values), self._projected(self.value, values)
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

    def _projected(self, projection: nn.Module, rows: Tensor) -> Tensor:
        """[T, H, d_head] from [T, d]; of keys and values, H heads that may be shared."""
        if isinstance(projection, Int8Linear):
            projected: Tensor = projection(rows, dtype=attention_dtype(rows.device))
        else:
            projected = projection(rows)
        return torch.unflatten(projected, -1, (-1, self.head_size))


class Attention(nn.Module):
    """Self-attention and its output block, grouped as in BERT so that parameter names agree."""

    def __init__(self, config: TokensieveConfig, number: int) -> None:
        super().__init__()
        self.self = SelfAttention(config, number)
        self.output = ResidualOutput(config.hidden_size, config, config.block.attention_bias)
