"""Reduction settings with values at dotted paths, as --set, --config, the estimator and benchmarks give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path

from tokensieve.config.reduction import ReductionConfig
from tokensieve.errors import ConfigError
from tokensieve.settings_paths import Assignment, apply, read_settings, unknown_name

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
            named = [
                each for each in assigned if each.path[0] == part and (len(each.path) > 1 or each.value is not None)
            ]
            name = named[0].name
            raise ConfigError(
                f"{name}: there is no {part} in the settings that it changes; give {part}.{first} too, {remedy}"
            )
    return ReductionConfig.from_dict(record)


def settings_of_file(file: Path, start: ReductionConfig) -> ReductionConfig:
    """Reduction settings from a JSON file, such as `tokensieve tune --tasks` writes.

    Args:
        file: an object with `preset`, which is optional, and nested settings that are changed then.
        start: the settings that are changed where there is no `preset`.

    Raises:
        ConfigError: the file cannot be read, an unknown name, or as `with_assignments`.
    """
    known = ("preset", *(field.name for field in fields(ReductionConfig)))
    assigned = read_settings(file)
    for each in assigned:
        if each.path[0] not in known:
            raise ConfigError(f"{file}: {unknown_name('', each.path[0], known)}")
    presets = [each.value for each in assigned if each.path == ("preset",)]
    start = ReductionConfig.preset(presets[-1]) if presets else start
    return with_assignments(start, [each for each in assigned if each.path[0] != "preset"])
