"""The encoder: the loop over steps, layers with the combining module in its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from torch import nn

from tokensieve.combiners import COMBINERS
from tokensieve.config import PTCConfig
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.layer import Choice, Layer
from tokensieve.model.second_norms import SecondNorms
from tokensieve.model.trace import Trace
from tokensieve.reducers import Reducer, build_reducer
from tokensieve.reducers.schedule import Step, encoder_steps
from tokensieve.tokens import Tokens


class Encoder(nn.Module):
    """`layer` holds the steps in order; a replaced layer is not among them. A second reading goes through the same
    layers, with norms and biases of its own where there are `second_norms`, and other shares of the tokens stay.
    """

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        settings, second = config.settings, config.settings.of_second_reading()
        self.min_length, self.min_tokens = settings.min_length, settings.min_tokens
        self.steps = encoder_steps(settings, config.num_hidden_layers)
        self.steps_again = encoder_steps(second, config.num_hidden_layers)
        combine = COMBINERS["ptc"]
        self.layer = nn.ModuleList(
            combine(config.hidden_size, config.layer_norm_eps, settings)
            if step.kind == "combine"
            else Layer(config, _reducer(settings, step), step.prunes)
            for step in self.steps
        )
        self.second_norms: nn.ModuleList | None = None
        self.give_second_norms(config.second_norms)
        self.reducers_again = [_reducer(second, step) for step in self.steps_again]
        self.entering = tuple(_entering(settings, steps[0]) for steps in (self.steps, self.steps_again))

    def forward(self, tokens: Tokens, again: bool = False) -> tuple[Tokens, Trace]:
        """Run all steps, `again` as the second reading of these documents; the result holds the tokens that reached the
        end, and what became of the others.
        """
        if again:
            return self._again(tokens)
        return self._run(tokens, self.steps, [None] * len(self.steps), self.layer)

    def _again(self, tokens: Tokens) -> tuple[Tokens, Trace]:
        if self.second_norms is None:
            return self._run(tokens, self.steps_again, self.reducers_again, self.layer)
        norms = cast(Iterable[SecondNorms], self.second_norms)
        twins = [own.twin(layer) for own, layer in zip(norms, self.layer, strict=True)]
        return self._run(tokens, self.steps_again, self.reducers_again, twins)

    def _run(
        self, tokens: Tokens, steps: Sequence[Step], reducers: Sequence[Reducer | None], layers: Iterable[nn.Module]
    ) -> tuple[Tokens, Trace]:
        """The steps in their order; without a reducer of its own a layer chooses by the one that it has."""
        trace, keys = Trace(), None
        exempt, everyone = [not own for own in self.pruned(tokens.text_lengths)], [True] * len(tokens.lengths)
        for step, reducer, module in zip(steps, reducers, layers, strict=True):
            if step.kind == "combine":  # by kind: an adapter may wrap the module
                before, keys = tokens, None
                tokens, joined = module(tokens)
                trace.record_combining(before, joined)
            else:
                served = keys
                tokens, keys = module(tokens, keys, exempt if step.prunes else everyone, Choice(reducer))
                trace.record_layer(tokens, served)
        return tokens, trace

    def give_second_norms(self, own: bool) -> None:
        """Let the second reading keep as its own the norms and biases that the layers have now; or share theirs."""
        self.second_norms = nn.ModuleList(map(SecondNorms, self.layer)) if own else None

    def pruned(self, lengths: Sequence[int]) -> list[bool]:
        """Whether documents of these lengths are long enough to be pruned."""
        return [length >= self.min_length for length in lengths]

    def going_on(self, lengths: Sequence[int], again: bool = False) -> list[int]:
        """How many tokens of documents of these lengths the first layer gets: the work that they make."""
        share = self.entering[again]
        pruned = zip(lengths, self.pruned(lengths), strict=True)
        fewest = (min(length, self.min_tokens) for length in lengths)
        return [max(least, round(n * share)) if own else n for (n, own), least in zip(pruned, fewest, strict=True)]


def _reducer(settings: PTCConfig, step: Step) -> Reducer | None:
    return build_reducer(settings, step.ratio) if step.prunes else None


def _entering(settings: PTCConfig, step: Step) -> float:
    """The share of a document's tokens that a step gets, where it is the first."""
    return float(step.ratio) if settings.score == "learned" and step.prunes else 1.0
