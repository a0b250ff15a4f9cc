"""The loop over layers, with the combining module among them; `layer.py` has a layer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.layer import Choice, Layer
from tokensieve.model.norms import norm_of
from tokensieve.model.positions import Positions
from tokensieve.model.steps import Step, encoder_steps
from tokensieve.model.trace import Trace
from tokensieve.tokens import Tokens


class Encoder(nn.Module):
    """The layers of the model in order, with the combining module among them.

    Attributes:
        steps: what each step does.
        layer: the module of each step. A layer that the combining module replaces has none.
        may_prune: of each layer of the schedule, whether it was built to prune.
        positions: what positions mean to attention.
        LayerNorm: the norm behind the last layer, in backbones whose norms come first; else None.
    """

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        settings = config.settings
        self.min_length = settings.min_length
        self.min_tokens = 1 if settings.prune is None else settings.prune.select.min_tokens
        self.steps = encoder_steps(settings, config.num_hidden_layers, config.block.local_layers)
        self.may_prune = tuple(share < 1 for share in settings.shares(config.num_hidden_layers))
        self.layer = nn.ModuleList(
            Layer(config, step.source, step.prune, step.share) if step.source is not None else combining_module(config)
            for step in self.steps
        )
        self.positions = Positions(config)
        normed = config.block.norm_first and config.block.last_norm
        self.LayerNorm = norm_of(config.hidden_size, config) if normed else None
        self.first_share = _first_share(self.steps[0])

    def forward(self, tokens: Tokens) -> tuple[Tokens, Trace]:
        """Run all steps; return the tokens that reach the end, and the trace of all tokens."""
        trace, keys, places = Trace.of(tokens), None, self.positions(tokens)
        exempt = [not pruned for pruned in self.pruned(tokens.text_lengths)]
        everyone = [True] * len(tokens.lengths)
        for step, module in zip(self.steps, self.layer, strict=True):
            if step.kind == "combine":  # by kind: an adapter may wrap the module
                before, keys = tokens, None
                tokens, joined = module(tokens)
                trace.record_combining(before, tokens, joined)
            else:
                served, choice = keys, Choice()
                tokens, keys = module(tokens, keys, exempt if step.prune else everyone, choice, places)
                trace.record_layer(tokens, served, choice.kept, choice.merging)
        if self.LayerNorm is not None:
            tokens = tokens.with_values(self.LayerNorm(tokens.values))
        return tokens, trace

    def take_shares(self, steps: Sequence[Step]) -> None:
        """Keep the shares of these steps, which prune in no layer but those that were built to prune."""
        self.steps, self.first_share = tuple(steps), _first_share(steps[0])
        for step, module in zip(steps, self.layer, strict=True):
            if step.kind == "layer":
                module.share = step.share  # type: ignore[assignment]

    def pruned(self, lengths: Sequence[int]) -> list[bool]:
        """For each length of a document, whether it is long enough to be pruned."""
        return [length >= self.min_length for length in lengths]

    def rows_after_first_pruning(self, lengths: Sequence[int]) -> list[int]:
        """For each length of a document, about how many tokens enter the first layer, to fill batches by."""
        share, fewest = self.first_share, self.min_tokens
        return [
            max(min(length, fewest), round(length * share)) if pruned else length
            for length, pruned in zip(lengths, self.pruned(lengths), strict=True)
        ]


def combining_module(config: TokensieveConfig) -> nn.Module:
    """The combining module of a config whose settings have one."""
    combine = config.settings.combine
    assert combine is not None
    return combine.module(config.hidden_size, config.layer_norm_eps)


def _first_share(step: Step) -> float:
    """The share of a document's tokens that enters the first layer: below 1 if so many leave ahead of it."""
    prune = step.prune
    return float(step.share) if prune is not None and prune.site.ahead and prune.select.reads_share else 1.0
