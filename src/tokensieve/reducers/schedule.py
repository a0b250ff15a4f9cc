"""How many tokens stay, and in which layers they leave: one schedule for the model, the plan and the reference."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from tokensieve.config import PTCConfig, Site


def exact_ratio(keep_ratio: float) -> Fraction:
    """The decimal that the user wrote, exactly: 0.7 * 10 floors to 7, which the float product 6.999... does not."""
    return Fraction(str(float(keep_ratio)))


def next_count(alive: int, protected: int, ratio: Fraction, fewest: int = 1) -> int:
    """Tokens after one pruning step: max(1, protected, floor(alive * ratio)) (PTC section 3.2); no fewer than `fewest`
    where as many are alive.
    """
    return max(1, protected, min(alive, fewest), alive * ratio.numerator // ratio.denominator)


@dataclass(frozen=True)
class Step:
    """One step of the encoder.

    Attributes:
        kind: a transformer "layer" or the "combine" module.
        source: 0-based layer of the host checkpoint that it comes from; None for the combining module.
        prunes: what this layer's scores decide: the "keys" of the next layer, the "hidden" states that go on from
            this one, or nothing. Only then is anything scored.
        ratio: p of this layer, exact; 1 where nothing is pruned.
    """

    kind: Literal["layer", "combine"]
    source: int | None
    prunes: Site | None
    ratio: Fraction = Fraction(1)


def encoder_steps(config: PTCConfig, num_layers: int) -> tuple[Step, ...]:
    """The encoder's steps in order, for a host of `num_layers` layers.

    Raises:
        ConfigError: the combining layer does not fit the depth.
    """
    config.check_depth(num_layers)
    before = num_layers if config.combine_layer is None else config.combine_layer - 1
    steps = [
        Step("layer", layer, _prunes(config, layer, before), exact_ratio(config.ratio_of(layer)))
        for layer in range(before)
    ]
    if config.combine_layer is not None:
        resume = before + (config.combine_mode == "replace")
        steps.append(Step("combine", None, None))
        steps += [Step("layer", layer, None) for layer in range(resume, num_layers)]
    return tuple(steps)


def _prunes(config: PTCConfig, layer: int, before: int) -> Site | None:
    if config.pruning == "none" or config.ratio_of(layer) == 1:
        return None
    if config.site == "keys" and layer == before - 1:
        return None  # no later layer would read this one's scores
    return config.site
