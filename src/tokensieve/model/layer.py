"""One transformer layer: attention -> reduce -> feed-forward. This is the file in which a token disappears.

Site "keys": the tokens that leave are no keys and values of the next layer; they stay queries.
Site "hidden": they leave between this layer's attention and its feed-forward, and are in no tensor after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer

from tokensieve.combiners import Merging, most_similar
from tokensieve.config import Site
from tokensieve.kernels.linear import ShortLinear
from tokensieve.kernels.received import Queries
from tokensieve.model.attention import Attention
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.dropout import Dropout
from tokensieve.reducers import KeyRows, Reducer, select_rows
from tokensieve.tokens import Tokens

_FEED_FORWARD_ROWS = 1024  # 6 MB of widened values at d = 384; with 256 rows the products become slower


class Intermediate(nn.Module):
    """First half of the feed-forward block."""

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        self.dense = ShortLinear(config.hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]

    def forward(self, values: Tensor) -> Tensor:
        """[T, intermediate_size] from [T, d]."""
        widened: Tensor = self.activation(self.dense(values))
        return widened


class Output(nn.Module):
    """Second half of the feed-forward block, with residual and norm."""

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        self.dense = ShortLinear(config.intermediate_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, widened: Tensor, residual: Tensor) -> Tensor:
        """[T, d] from [T, intermediate_size] and residual [T, d]."""
        normed: Tensor = self.LayerNorm(residual + self.dropout(self.dense(widened)))
        return normed


@dataclass
class Choice:
    """What a layer chose in one forward pass. Gradient checkpointing runs the layer a second time in the backward pass,
    and finds the choice here: tokens are not scored anew, and cannot be chosen differently.
    """

    kept: KeyRows | None = None
    merging: Merging | None = None


class Layer(GradientCheckpointingLayer):
    """A post-norm layer whose scores may prune.

    Args:
        config: sizes.
        reducer: decides; needed where `prunes` is set.
        prunes: what this layer's scores decide; None: nothing is scored.
    """

    def __init__(self, config: TokensieveConfig, reducer: Reducer | None = None, prunes: Site | None = None) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = Output(config)
        self.reducer, self.prunes = reducer, prunes
        self.merges = config.settings.merge_pruned

    def forward(
        self, tokens: Tokens, keys: KeyRows | None, exempt: Sequence[bool], choice: Choice
    ) -> tuple[Tokens, KeyRows | None]:
        """Run the layer.

        Args:
            tokens: the batch.
            keys: rows that serve as keys and values here; None: all.
            exempt: documents that are not pruned.
            choice: of this layer and pass; filled here, or, in a second run, followed.

        Returns:
            The tokens that go on, and the keys of the next layer.
        """
        scored = self._scored_queries(tokens, keys, exempt) if choice.kept is None else None
        context, received = self.attention.self(tokens, keys, scored, exempt)
        if received is not None:
            choice.kept = self._select(tokens, keys, received, exempt)
        kept = choice.kept
        if kept is not None and self.prunes == "hidden":
            context, tokens = self._leave(context, tokens, kept, choice)
            keys = None
        elif kept is not None:
            keys = kept
        attended = self.attention.output(context, tokens.values)
        return tokens.with_values(self._feed_forward(attended)), keys

    def _leave(self, context: Tensor, tokens: Tokens, kept: KeyRows, choice: Choice) -> tuple[Tensor, Tokens]:
        """Context and tokens that go on: what is kept, with what leaves merged into it where that is the setting."""
        rows, left = kept.rows[0], tokens.keep(kept.rows[0], kept.lengths)
        if not self.merges or len(rows) == len(context):
            return context.index_select(0, rows), left
        choice.merging = merging = choice.merging or most_similar(tokens, rows, kept.lengths)
        before, sizes = tokens.sizes, merging.sizes(tokens.sizes)
        context, values = (merging.means(own, before, sizes) for own in (context, tokens.values))
        return context, replace(left, values=values, sizes=sizes)

    def _feed_forward(self, attended: Tensor) -> Tensor:
        """[T, d] from [T, d]; at inference on CPU some rows at a time, whose widened values stay in the cache."""
        if torch.is_grad_enabled() or attended.device.type != "cpu" or len(attended) <= _FEED_FORWARD_ROWS:
            whole: Tensor = self.output(self.intermediate(attended), attended)
            return whole
        parts = attended.split(_FEED_FORWARD_ROWS)
        return torch.cat([self.output(self.intermediate(rows), rows) for rows in parts])

    def _scored_queries(self, tokens: Tokens, keys: KeyRows | None, exempt: Sequence[bool]) -> Queries | None:
        """What the reducer wants to see; nothing is scored where the counts say beforehand that every token stays."""
        if self.reducer is None or self.prunes is None or all(exempt):
            return None
        lengths = tokens.lengths if keys is None else keys.lengths
        text = tuple(length - tokens.combination for length in lengths)
        counts = self.reducer.counts(text, tokens.protected_counts)
        if counts is not None and not any(
            count < own and not out for count, own, out in zip(counts, text, exempt, strict=True)
        ):
            return None
        reducer, combination = self.reducer, tokens.combination
        return lambda rows: reducer.queries(rows, combination)

    def _select(self, tokens: Tokens, keys: KeyRows | None, received: Tensor, exempt: Sequence[bool]) -> KeyRows:
        assert self.reducer is not None
        if keys is None:
            sets = 1 if self.reducer.shared_heads else len(received)
            everything = torch.arange(len(tokens.values), device=received.device)
            keys = KeyRows(everything.expand(sets, -1), tokens.lengths)
        return select_rows(
            self.reducer, received, keys, tokens.protected, tokens.protected_counts, tokens.combination, exempt
        )
