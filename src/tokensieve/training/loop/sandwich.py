"""The sandwich rule: a step trains the model with all tokens, with the fewest, and with random shares in between.

Source: Length-Adaptive Transformer (Kim and Cho, ACL 2021). Afterwards the weights answer at any share.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

from torch import nn

from tokensieve.model.layer import Layer
from tokensieve.reduce.schedule import exact_ratio
from tokensieve.training.recipe import Recipe


class Sandwich:
    """Runs a batch through the model and its sub-models, which differ in the keep shares of their layers alone.

    Args:
        model: whose layers prune.
        recipe: `length_drop`, `length_samples` and `seed` are read.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self.layers = [module for module in model.modules() if isinstance(module, Layer) and module.prune is not None]
        self.drop, self.samples, self.seed = recipe.length_drop, recipe.length_samples, recipe.seed

    def shares(self, step: int) -> list[list[Fraction]]:
        """The shares of each pass, for each layer that prunes: 1, the smallest, and random ones.

        They follow from the seed and the number of the step, so a resumed run and every process have the same.
        """
        drawn, smallest = random.Random(f"{self.seed} {step}"), 1 - self.drop
        passes = [[1.0], [smallest]]
        passes += [[round(drawn.uniform(smallest, 1), 4) for _ in self.layers] for _ in range(self.samples)]
        return [list(map(exact_ratio, own * (len(self.layers) if len(own) == 1 else 1))) for own in passes]

    def run(self, model: Any, inputs: Mapping[str, Any], step: int) -> list[Any]:
        """The outputs of all passes, of the model with all tokens first."""
        outputs = []
        for shares in self.shares(step):
            with self._at(shares):
                outputs.append(model(**inputs))
        return outputs

    @contextmanager
    def _at(self, shares: Sequence[Fraction]) -> Iterator[None]:
        before = [layer.share for layer in self.layers]
        for layer, share in zip(self.layers, shares, strict=True):
            layer.share = share
        try:
            yield
        finally:
            for layer, share in zip(self.layers, before, strict=True):
                layer.share = share
