"""The steps of the encoder: its layers, with what each of them prunes, and the combining module among them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from tokensieve.config import Prune, ReductionConfig
from tokensieve.errors import ConfigError
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


def encoder_steps(settings: ReductionConfig, depth: int, local: Collection[int] = ()) -> tuple[Step, ...]:
    """The encoder's steps in order, for a source checkpoint of `depth` layers.

    Attention is received from all of a document in global layers alone. A score made of it chooses there, and the
    choice holds until the next global layer: a local layer's share is kept in the global layer ahead of it.

    Args:
        settings: the reduction settings.
        depth: layers of the source checkpoint.
        local: numbers of its layers, from 0, whose attention is local.

    Raises:
        ConfigError: the settings do not fit the depth, or prune by attention ahead of the first global layer.
    """
    before, shares = settings.before(depth), settings.shares(depth)
    steps = [
        Step("layer", layer, _prune(settings.prune, share, layer == before - 1), exact_ratio(share))
        for layer, share in enumerate(shares)
    ]
    if settings.prune is not None and settings.prune.score.needs_attention:
        steps = _at_global_layers(steps, local)
    if settings.combine is not None:
        resume = before + (settings.combine.mode == "replace")
        steps.append(Step("combine", None))
        steps += [Step("layer", layer) for layer in range(resume, depth)]
    return tuple(steps)


def _at_global_layers(steps: Sequence[Step], local: Collection[int]) -> list[Step]:
    """The steps, each local layer's share moved to the global layer ahead of it."""
    moved, following, prune = list[Step](), Fraction(1), None
    for number, step in reversed(list(enumerate(steps))):
        if step.prune is not None:
            following, prune = following * step.share, step.prune
        if number in local:
            moved.append(Step("layer", number))
            continue
        moved.append(replace(step, prune=prune, share=following if prune else step.share))
        following, prune = Fraction(1), None
    if prune is not None:
        raise ConfigError(
            f"prune.score={prune.score.name} with a share of {float(following):g} ahead of the first global layer: it "
            "is scored in global layers alone; keep all tokens up to there, or use prune.score=learned"
        )
    return moved[::-1]


def _prune(prune: Prune | None, share: float, last: bool) -> Prune | None:
    """How a layer prunes. At site "keys" the last layer does not: there is no next layer whose keys could be fewer."""
    if prune is None or share == 1 or (last and not prune.site.leaves):
        return None
    return prune
