"""The encoder: the loop over steps, layers with the combining module in its place."""

from __future__ import annotations

from torch import nn

from tokensieve.combiners import COMBINERS
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.layer import Choice, Layer
from tokensieve.model.trace import Trace
from tokensieve.reducers import build_reducer
from tokensieve.reducers.schedule import encoder_steps
from tokensieve.tokens import Tokens


class Encoder(nn.Module):
    """`layer` holds the steps in order; a replaced layer is not among them."""

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        settings = config.settings
        self.min_length = settings.min_length
        self.steps = encoder_steps(settings, config.num_hidden_layers)
        combine = COMBINERS["ptc"]
        self.layer = nn.ModuleList(
            combine(config.hidden_size, config.layer_norm_eps, settings)
            if step.kind == "combine"
            else Layer(config, build_reducer(settings, step.ratio) if step.prunes else None, step.prunes)
            for step in self.steps
        )

    def forward(self, tokens: Tokens, whole: bool = False) -> tuple[Tokens, Trace]:
        """Run all steps, `whole` without pruning; the result holds the tokens that reached the end, and what became of
        the others.
        """
        trace, keys = Trace(), None
        exempt = [whole or length < self.min_length for length in tokens.text_lengths]
        for step, module in zip(self.steps, self.layer, strict=True):  # by kind: an adapter may wrap the module
            if step.kind == "combine":
                before, keys = tokens, None
                tokens, joined = module(tokens)
                trace.record_combining(before, joined)
            else:
                served = keys
                tokens, keys = module(tokens, keys, exempt, Choice())
                trace.record_layer(tokens, served)
        return tokens, trace
