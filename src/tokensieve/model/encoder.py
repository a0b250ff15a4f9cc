"""The encoder: the loop over steps, layers with the combining module in its place."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.layer import Choice, Layer
from tokensieve.model.steps import Step, encoder_steps
from tokensieve.model.trace import Trace
from tokensieve.tokens import Tokens


class Encoder(nn.Module):
    """`layer` holds the steps in order; a replaced layer is not among them."""

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        settings = config.settings
        self.min_length = settings.min_length
        self.min_tokens = 1 if settings.prune is None else settings.prune.select.min_tokens
        self.steps = encoder_steps(settings, config.num_hidden_layers)
        self.layer = nn.ModuleList(
            Layer(config, step.prune, step.share)
            if step.kind == "layer" or settings.combine is None
            else settings.combine.module(config.hidden_size, config.layer_norm_eps)
            for step in self.steps
        )
        self.first_share = _first_share(self.steps[0])

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
                tokens, keys = module(tokens, keys, exempt if step.prune else everyone, Choice())
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


def _first_share(step: Step) -> float:
    """The share of a document's tokens that the first layer gets: less than 1 where tokens leave ahead of it."""
    return float(step.share) if step.prune is not None and step.prune.site.ahead else 1.0
