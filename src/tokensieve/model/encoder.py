"""The encoder: the loop over steps, layers with the combining module in its place."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from tokensieve.combiners import COMBINERS
from tokensieve.config import PTCConfig
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.layer import Choice, Layer
from tokensieve.model.trace import Trace
from tokensieve.reducers import Reducer, build_reducer
from tokensieve.reducers.schedule import Step, encoder_steps
from tokensieve.tokens import Tokens


class Encoder(nn.Module):
    """`layer` holds the steps in order; a replaced layer is not among them."""

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        settings = config.settings
        self.min_length, self.min_tokens = settings.min_length, settings.min_tokens
        self.steps = encoder_steps(settings, config.num_hidden_layers)
        combine = COMBINERS["ptc"]
        self.layer = nn.ModuleList(
            combine(config.hidden_size, config.layer_norm_eps, settings)
            if step.kind == "combine"
            else Layer(config, _reducer(settings, step), step.prunes)
            for step in self.steps
        )
        self.first_share = _first_share(settings, self.steps[0])

    def forward(self, tokens: Tokens) -> tuple[Tokens, Trace]:
        """Run all steps; the result holds the tokens that reached the end, and what became of the others."""
        trace, keys = Trace(), None
        exempt, everyone = [not own for own in self.pruned(tokens.text_lengths)], [True] * len(tokens.lengths)
        for step, module in zip(self.steps, self.layer, strict=True):
            if step.kind == "combine":  # by kind: an adapter may wrap the module
                before, keys = tokens, None
                tokens, joined = module(tokens)
                trace.record_combining(before, joined)
            else:
                served = keys
                tokens, keys = module(tokens, keys, exempt if step.prunes else everyone, Choice())
                trace.record_layer(tokens, served)
        return tokens, trace

    def pruned(self, lengths: Sequence[int]) -> list[bool]:
        """Whether documents of these lengths are long enough to be pruned."""
        return [length >= self.min_length for length in lengths]

    def rows_after_first_pruning(self, lengths: Sequence[int]) -> list[int]:
        """How many tokens of documents of these lengths the first layer gets: the work that they make."""
        pruned = zip(lengths, self.pruned(lengths), strict=True)
        fewest = (min(length, self.min_tokens) for length in lengths)
        share = self.first_share
        return [max(least, round(n * share)) if own else n for (n, own), least in zip(pruned, fewest, strict=True)]


def _reducer(settings: PTCConfig, step: Step) -> Reducer | None:
    return build_reducer(settings, step.ratio) if step.prunes else None


def _first_share(settings: PTCConfig, step: Step) -> float:
    """The share of a document's tokens that the first layer gets: less than 1 where tokens leave ahead of it."""
    return float(step.ratio) if settings.score == "learned" and step.prunes else 1.0
