"""A layer: attention -> reduce -> feed-forward. In this file a token disappears.

A site (`reduce.site`) says where tokens leave: ahead of attention, between attention and feed-forward, or as keys of
the next layer alone. The layer knows no method by name: it asks the score what it needs and the selection what stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from tokensieve.config import Prune
from tokensieve.kernels.received import Scoring
from tokensieve.model.attention import CONTEXT_ALONE, Attended, Attention, Wanted
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.feed_forward import Intermediate, feed_forward
from tokensieve.model.positions import Places
from tokensieve.model.residual import ResidualOutput
from tokensieve.reduce.contract import KeyVectors, Linked
from tokensieve.reduce.merge.contract import Merging
from tokensieve.reduce.rows import KeyRows, all_rows, select_rows
from tokensieve.tokens import Tokens


@dataclass
class Choice:
    """The tokens that a layer chose in one forward pass.

    Gradient checkpointing runs the layer a second time in the backward pass and takes the choice from here: tokens are
    not scored anew, and cannot be chosen differently. The share of the first run holds, too: by then the layer may have
    another.
    """

    share: Fraction | None = None
    kept: KeyRows | None = None
    merging: Merging | None = None


class Layer(GradientCheckpointingLayer):
    """A layer that may prune.

    Args:
        config: sizes, and how layers are made.
        number: of the layer in the source checkpoint, from 0.
        prune: which tokens leave here, and where; None: none do, and nothing is scored.
        share: exact share of the tokens that stays.
    """

    def __init__(
        self, config: TokensieveConfig, number: int, prune: Prune | None = None, share: Fraction = Fraction(1)
    ) -> None:
        super().__init__()
        self.attention = Attention(config, number)
        self.intermediate = Intermediate(config)
        self.output = ResidualOutput(config.intermediate_size, config, config.block.feed_forward_bias)
        self.prune, self.share = prune, share
        self.depth = number / config.num_hidden_layers
        self.importance = None if prune is None else prune.score.scorer(config.hidden_size)
        self.gate = None if prune is None else prune.select.gate(number + 1, config.num_hidden_layers)

    def forward(
        self, tokens: Tokens, keys: KeyRows | None, exempt: Sequence[bool], choice: Choice, places: Places
    ) -> tuple[Tokens, KeyRows | None]:
        """Run the layer.

        Args:
            tokens: the batch.
            keys: rows that serve as keys and values here; None: all.
            exempt: for each document, whether it is not pruned.
            choice: of this layer and pass. The first run fills it; a second run keeps to it.
            places: what the positions of the batch mean to attention.

        Returns:
            The tokens that stay in the model, and the keys of the next layer.
        """
        prune, before = self.prune, tokens
        choice.share = choice.share or self.share
        tokens, weights = self._choose_by_hidden_states(tokens, keys, exempt, choice)
        if prune is not None and prune.site.ahead and choice.kept is not None:
            tokens, _ = self._leave(tokens, choice.kept, choice)
        attended = before if prune is not None and prune.site.keys_once_more else None
        weighed = tokens if prune is not None and prune.site.ahead and attended is None else before
        wanted = self._wanted(tokens, keys, exempt, choice)
        found = self.attention.self(tokens, keys, places, exempt, wanted, attended, weighed.key_weights)
        tokens, by_attention = self._choose_by_attention(tokens, keys, exempt, choice, found)
        weights, context = weights if by_attention is None else by_attention, found.context
        if prune is not None and choice.kept is not None and not prune.site.ahead:
            if prune.site.leaves:
                tokens, onward = self._leave(tokens, choice.kept, choice)
                context = onward(context)
            else:
                keys = choice.kept
        mixed = self.attention.output(context, tokens.values)
        if self.gate is None or weights is None:
            return tokens.with_values(feed_forward(mixed, self.intermediate, self.output)), keys
        computed = feed_forward(self.gate.between(mixed, weights), self.intermediate, self.output)
        return tokens.with_values(self.gate.behind(computed, before.values, weights)), keys

    def _choose_by_hidden_states(
        self, tokens: Tokens, keys: KeyRows | None, exempt: Sequence[bool], choice: Choice
    ) -> tuple[Tokens, Tensor | None]:
        """Choose the tokens that stay ahead of the layer, if the score needs no attention."""
        if self.importance is None or not self._may_lose(tokens, keys, exempt, choice):
            return tokens, None
        scores = self.importance(tokens)  # in a second run, too: noise draws its random numbers ahead of dropout
        return self._choose(tokens, keys, scores if keys is None else scores[:, keys.rows[0]], exempt, choice)

    def _choose(
        self, tokens: Tokens, keys: KeyRows | None, scores: Tensor, exempt: Sequence[bool], choice: Choice
    ) -> tuple[Tokens, Tensor | None]:
        """Choose the rows that stay; or, where the gate is trained, weigh the rows, of which none leaves.

        Returns:
            The tokens, with the weights of the layers so far, and the weights [T] of this layer; None: rows leave.
        """
        if self.gate is not None and self.gate.acts:
            return self.gate(scores, tokens, exempt)  # type: ignore[no-any-return]
        if choice.kept is None:
            with torch.no_grad():  # a second run does not come here, and has to save as many tensors for the gradient
                margins = scores if self.gate is None else self.gate.margins(scores)
                choice.kept = self._select(tokens, keys, margins, exempt, choice)
        return tokens, None

    def _choose_by_attention(
        self, tokens: Tokens, keys: KeyRows | None, exempt: Sequence[bool], choice: Choice, found: Attended
    ) -> tuple[Tokens, Tensor | None]:
        """As `_choose`, and where the others go, by what attention was asked to give beside context."""
        merge = None if self.prune is None else self.prune.merge
        scores = self.scores_of(tokens, keys, found, exempt, choice.share)
        weights = None
        if scores is not None:
            tokens, weights = self._choose(tokens, keys, scores, exempt, choice)
        if found.keys is not None and choice.kept is not None and merge is not None and merge.needs_keys:
            choice.merging = merge.merging(tokens, choice.kept, found.keys)
        return tokens, weights

    def scores_of(
        self,
        tokens: Tokens,
        keys: KeyRows | None,
        found: Attended,
        exempt: Sequence[bool],
        share: Fraction | None = None,
    ) -> Tensor | None:
        """Scores [S, K] of the tokens that serve as keys by what attention gave; None: it was asked for nothing."""
        if self.prune is None:
            return None
        score = self.prune.score
        if found.received is not None:
            return score.of_received(found.received)
        if found.graph is not None:
            leaving = self._leaving(tokens, exempt, share or self.share)
            linked = Linked(found.graph, tokens.origin, tokens.protected, tokens.combination, leaving, self.depth)
            return score.of_graph(linked)
        if found.keys is None or not score.needs_keys:
            return None
        protected = tokens.protected if keys is None else tokens.protected[keys.rows[0]]
        lengths = tokens.lengths if keys is None else keys.lengths
        return score.of_keys(KeyVectors(found.keys, lengths, tokens.combination, protected, self.depth))

    def _leave(self, tokens: Tokens, kept: KeyRows, choice: Choice) -> tuple[Tokens, Callable[[Tensor], Tensor]]:
        """Drop the rows that leave, or merge them into rows that stay.

        Returns:
            The tokens that stay; and a function that takes other values of the rows before, [T, d], to the rows that
            stay, [T', d].
        """
        assert self.prune is not None
        rows, left = kept.rows[0], tokens.keep(kept.rows[0], kept.lengths)
        if self.prune.merge is None or len(rows) == len(tokens.values):
            return left, lambda values: values.index_select(0, rows)
        choice.merging = merging = choice.merging or self.prune.merge.merging(tokens, kept, None)
        before, sizes = tokens.sizes, merging.sizes(tokens.sizes)
        merged = replace(left, values=merging.means(tokens.values, before, sizes), sizes=sizes)
        return merged, lambda values: merging.means(values, before, sizes)

    def _wanted(self, tokens: Tokens, keys: KeyRows | None, exempt: Sequence[bool], choice: Choice) -> Wanted:
        """What attention is to give for a choice that is not made yet."""
        if self.prune is None:
            return CONTEXT_ALONE
        score, merge, unchosen = self.prune.score, self.prune.merge, choice.kept is None
        merged = merge is not None and merge.needs_keys and choice.merging is None
        received, graph = (unchosen and needed for needed in (score.needs_received, score.needs_graph))
        compared = merged or (unchosen and score.needs_keys)
        if not (received or graph or compared) or not self._may_lose(tokens, keys, exempt, choice):
            return CONTEXT_ALONE
        return Wanted(self._scoring(tokens.combination) if received else None, compared, graph)

    def _scoring(self, combination: int) -> Scoring:
        """The attention that the score is made of."""
        assert self.prune is not None
        score, gate = self.prune.score, self.gate
        attached = gate is not None and gate.acts and gate.attached
        return Scoring(lambda rows: score.rows_scored(rows, combination), score.own, attached)

    def _leaving(self, tokens: Tokens, exempt: Sequence[bool], share: Fraction) -> tuple[int, ...]:
        """How many tokens of each document leave; 0 where the scores decide."""
        assert self.prune is not None
        lengths = tokens.text_lengths
        counts = self.prune.select.counts(lengths, tokens.protected_counts, share)
        if counts is None:
            return (0,) * len(lengths)
        return tuple(0 if out else length - count for length, count, out in zip(lengths, counts, exempt, strict=True))

    def _may_lose(self, tokens: Tokens, keys: KeyRows | None, exempt: Sequence[bool], choice: Choice) -> bool:
        """Whether a token may leave, so that scores are needed: False if the counts alone keep every token."""
        if self.gate is not None and self.gate.acts:
            return True  # a penalty is told for each document
        if self.prune is None or all(exempt):
            return False
        lengths = tokens.lengths if keys is None else keys.lengths
        text = tuple(length - tokens.combination for length in lengths)
        counts = self.prune.select.counts(text, tokens.protected_counts, choice.share or self.share)
        return counts is None or any(
            count < length and not out for count, length, out in zip(counts, text, exempt, strict=True)
        )

    def _select(
        self, tokens: Tokens, keys: KeyRows | None, scores: Tensor, exempt: Sequence[bool], choice: Choice
    ) -> KeyRows:
        """The rows that the selection keeps, of `keys` or (None) of all rows."""
        assert self.prune is not None
        keys = all_rows(tokens, len(scores)) if keys is None else keys
        prune, share = self.prune, choice.share or self.share
        return select_rows(prune.select, share, scores, keys, tokens, exempt, prune.score.is_log)


def unfitted(model: nn.Module) -> list[Layer]:
    """The layers whose score has to be fitted, and is not yet."""
    layers = (module for module in model.modules() if isinstance(module, Layer))
    return [layer for layer in layers if layer.importance is not None and not layer.importance.fitted]
