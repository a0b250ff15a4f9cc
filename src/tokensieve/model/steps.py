"""The steps of the encoder: its layers, what each of them prunes, and the combining module in its place."""

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
        prune: what this layer lets go; None: nothing, and nothing is scored.
        share: of the tokens that stay in this layer, exact; 1 where nothing is pruned.
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
    """What a layer prunes. As keys of the next layer tokens leave in the last one in vain: no one reads its scores."""
    if prune is None or share == 1 or (last and not prune.site.leaves):
        return None
    return prune
