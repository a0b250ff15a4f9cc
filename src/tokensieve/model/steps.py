"""The steps of the encoder: its layers, with what each of them prunes, and the combining module among them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from tokensieve.config import Prune, ReductionConfig
from tokensieve.reduce.schedule import exact_ratio


@dataclass(frozen=True)
class Step:
    """One step of the encoder.

    Attributes:
        kind: a transformer "layer" or the "combine" module.
        source: 0-based layer of the source checkpoint that it comes from; None for the combining module.
        prune: how this layer prunes; None: it does not, and nothing is scored.
        share: exact share of the tokens that stays in this layer; 1 without pruning.
    """

    kind: Literal["layer", "combine"]
    source: int | None
    prune: Prune | None = None
    share: Fraction = Fraction(1)


def encoder_steps(settings: ReductionConfig, depth: int) -> tuple[Step, ...]:
    """The encoder's steps in order, for a source checkpoint of `depth` layers.

    Raises:
        ConfigError: the settings do not fit the depth.
    """
    before, shares = settings.before(depth), settings.shares(depth)
    steps = [
        Step("layer", layer, _prune(settings.prune, share, layer == before - 1), exact_ratio(share))
        for layer, share in enumerate(shares)
    ]
    if settings.combine is not None:
        resume = before + (settings.combine.mode == "replace")
        steps.append(Step("combine", None))
        steps += [Step("layer", layer) for layer in range(resume, depth)]
    return tuple(steps)


def _prune(prune: Prune | None, share: float, last: bool) -> Prune | None:
    """How a layer prunes. At site "keys" the last layer does not: there is no next layer whose keys could be fewer."""
    if prune is None or share == 1 or (last and not prune.site.leaves):
        return None
    return prune
