"""Reduction settings with values at dotted paths, as --set, --config, the estimator and benchmarks give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tokensieve.config.reduction import ReductionConfig
from tokensieve.errors import ConfigError
from tokensieve.settings_paths import Assignment, apply

_FIRST = {
    "prune": ("select", "such as prune.select=top-share, or start from a preset that prunes"),
    "combine": ("layer", "such as combine.layer=7/12"),
    "defer": ("share", "such as defer.share=0.1"),
}
"""The setting that adds a part to settings without it. Another setting of the part alone is a mistake: a number of
combination tokens, for a preset that combines nothing, would add a module at a place that nobody named."""


def with_assignments(settings: ReductionConfig, assignments: Iterable[Assignment]) -> ReductionConfig:
    """Settings with values at dotted paths, assigned in order.

    Raises:
        ConfigError: an unknown path, values out of range or that do not go together, or a setting of a part that there
            is not.
    """
    assigned = list(assignments)
    record = apply(settings.to_dict(), assigned)
    for part, (first, remedy) in _FIRST.items():
        found = record.get(part)
        if isinstance(found, Mapping) and first not in found:
            name = next(each.name for each in assigned if each.path[0] == part and each.value is not None)
            raise ConfigError(
                f"{name}: there is no {part} in the settings that it changes; give {part}.{first} too, {remedy}"
            )
    return ReductionConfig.from_dict(record)
