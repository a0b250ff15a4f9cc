"""One transformer layer: attention -> reduce -> feed-forward. This is the file in which a token disappears.

Site "keys": the tokens that leave are no keys and values of the next layer; they stay queries.
Site "hidden": they leave between this layer's attention and its feed-forward, and are in no tensor after. With a
learned score, which needs no attention, they leave ahead of it, or are keys and values in it for the last time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from tokensieve.combiners import Merging, most_similar
from tokensieve.config import Site
from tokensieve.kernels.received import Queries
from tokensieve.model.attention import Attention
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.feed_forward import Intermediate, feed_forward
from tokensieve.model.residual import ResidualOutput
from tokensieve.reducers import Importance, KeyRows, Reducer, select_rows
from tokensieve.tokens import Tokens


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
        self.output = ResidualOutput(config.intermediate_size, config)
        self.reducer, self.prunes = reducer, prunes
        self.merges, self.leaving_keys = config.settings.merge_pruned, config.settings.leaving_keys
        learned = prunes is not None and config.settings.score == "learned"
        self.importance = Importance(config.hidden_size, config.settings.score_noise) if learned else None

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
        if self.importance is not None:
            before, tokens = tokens, self._leave_ahead(tokens, exempt, choice)
            context, _ = self.attention.self(tokens, None, None, exempt, before if self.leaving_keys else None)
        else:
            context, tokens, keys = self._attend_and_leave(tokens, keys, exempt, choice)
        attended = self.attention.output(context, tokens.values)
        return tokens.with_values(feed_forward(attended, self.intermediate, self.output)), keys

    def _leave_ahead(self, tokens: Tokens, exempt: Sequence[bool], choice: Choice) -> Tokens:
        """The tokens that are queries and go on, chosen by their hidden states."""
        assert self.importance is not None
        if self._may_lose(tokens, None, exempt):
            scores = self.importance(tokens.values)  # in a second run, too: dropout's random numbers come after noise's
            choice.kept = choice.kept or _select(self.reducer, tokens, None, scores, exempt)
        return tokens if choice.kept is None else self._leave(tokens, choice.kept, choice)[0]

    def _attend_and_leave(
        self, tokens: Tokens, keys: KeyRows | None, exempt: Sequence[bool], choice: Choice
    ) -> tuple[Tensor, Tokens, KeyRows | None]:
        """Context and tokens that go on, chosen by the attention that they received, and the keys of the next layer."""
        scored = self._scored_queries(tokens, keys, exempt) if choice.kept is None else None
        context, received = self.attention.self(tokens, keys, scored, exempt)
        if received is not None:
            assert self.reducer is not None
            choice.kept = _select(self.reducer, tokens, keys, self.reducer.score(received), exempt)
        if choice.kept is None or self.prunes != "hidden":
            return context, tokens, choice.kept or keys
        tokens, onward = self._leave(tokens, choice.kept, choice)
        return onward(context), tokens, None

    def _leave(self, tokens: Tokens, kept: KeyRows, choice: Choice) -> tuple[Tokens, Callable[[Tensor], Tensor]]:
        """The tokens that go on, what leaves merged into them where that is the setting; and what takes other values of
        the rows before, [T, d], to those of the rows that go on, [T', d].
        """
        rows, left = kept.rows[0], tokens.keep(kept.rows[0], kept.lengths)
        if not self.merges or len(rows) == len(tokens.values):
            return left, lambda values: values.index_select(0, rows)
        choice.merging = merging = choice.merging or most_similar(tokens, rows, kept.lengths)
        before, sizes = tokens.sizes, merging.sizes(tokens.sizes)
        merged = replace(left, values=merging.means(tokens.values, before, sizes), sizes=sizes)
        return merged, lambda values: merging.means(values, before, sizes)

    def _scored_queries(self, tokens: Tokens, keys: KeyRows | None, exempt: Sequence[bool]) -> Queries | None:
        """What the reducer wants to see; None: nothing."""
        if self.reducer is None or not self._may_lose(tokens, keys, exempt):
            return None
        reducer, combination = self.reducer, tokens.combination
        return lambda rows: reducer.queries(rows, combination)

    def _may_lose(self, tokens: Tokens, keys: KeyRows | None, exempt: Sequence[bool]) -> bool:
        """Whether scores are wanted: not where the counts say beforehand that every token stays."""
        if self.reducer is None or self.prunes is None or all(exempt):
            return False
        lengths = tokens.lengths if keys is None else keys.lengths
        text = tuple(length - tokens.combination for length in lengths)
        counts = self.reducer.counts(text, tokens.protected_counts)
        return counts is None or any(
            count < own and not out for count, own, out in zip(counts, text, exempt, strict=True)
        )


def _select(
    reducer: Reducer | None, tokens: Tokens, keys: KeyRows | None, scores: Tensor, exempt: Sequence[bool]
) -> KeyRows:
    """The rows of the keys, of None all, that a reducer keeps."""
    assert reducer is not None
    if keys is None:
        everything = torch.arange(len(tokens.values), device=scores.device)
        keys = KeyRows(everything.expand(len(scores), -1), tokens.lengths)
    return select_rows(reducer, scores, keys, tokens.protected, tokens.protected_counts, tokens.combination, exempt)


def unfitted(model: nn.Module) -> list[Layer]:
    """The layers whose learned importance tells no tokens apart yet."""
    layers = (module for module in model.modules() if isinstance(module, Layer))
    return [layer for layer in layers if layer.importance is not None and not layer.importance.fitted]
