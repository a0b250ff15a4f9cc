"""The plan of a cascade: that of its first stage, with the FLOPs of the second one for the share that is deferred."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.plan import Plan, make_plan


def plan_of(
    config: TokensieveConfig,
    length: int,
    *,
    special: int = 2,
    shares: Sequence[float] | None = None,
    first: Plan | None = None,
) -> Plan:
    """Plan a document of `length` tokens, by one model or by the cascade that the settings ask for (`defer`).

    Args:
        config: of a model or of a cascade.
        length: text tokens, special tokens included.
        special: protected ones among them.
        shares: as in `make_plan`, measured on the first stage.
        first: the plan of the first stage, if it is known.

    Raises:
        ConfigError: as `make_plan`.
    """
    settings = config.settings
    first = first or make_plan(config, length, special=special, shares=shares)
    if not settings.deferred or length < settings.min_length:
        return first
    second = copy.deepcopy(config)
    second.reduction = settings.stages(config.num_hidden_layers)[1].to_dict()
    flops = first.flops + settings.deferred * make_plan(second, length, special=special).flops
    return replace(first, flops=flops, deferred=settings.deferred)
