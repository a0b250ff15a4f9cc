"""The flat settings of version 0.1.0 as a `ReductionConfig`: PTCConfig, which goes on working with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from tokensieve.checks import is_whole
from tokensieve.config.old import FIELDS, FORMAT_VERSION, nested
from tokensieve.config.prune import Prune
from tokensieve.config.record import to_record
from tokensieve.config.reduction import ReductionConfig
from tokensieve.errors import ConfigError
from tokensieve.reduce.merge.most_similar import MostSimilar
from tokensieve.reduce.schedule import Constant, Listed, Schedule


def from_flat(flat: Mapping[str, Any]) -> ReductionConfig:
    """The settings of flat fields; those that are left out have their defaults.

    Raises:
        ConfigError: unknown fields, values out of range, or ones that do not go together.
    """
    return ReductionConfig.from_dict({"format_version": FORMAT_VERSION, **flat})


def changed(settings: ReductionConfig, flat: Mapping[str, Any], depth: int | None = None) -> ReductionConfig:
    """Settings with flat fields in place of what they have, as version 0.1.0 put them there.

    A field that says nothing about the result, such as the number of combination tokens where nothing is combined,
    changes nothing. Without pruning nothing is deferred. Other shares, or none that are deferred, leave the second
    stage none of its own.

    Args:
        settings: of cells that 0.1.0 had.
        flat: some of `FIELDS`.
        depth: layers of the model. Known, a `combine_layer` cuts the shares by layer off that come after it; otherwise
            a schedule that is stored without the depth is expanded over the layers that are left.

    Raises:
        ConfigError: unknown fields, values out of range or that do not go together, or settings newer than 0.1.0.
    """
    if not flat:
        return settings
    started = _flat_of(settings)
    if flat.get("pruning") == "none" and settings.prune is not None:
        started["reread"] = 0.0
    record = nested({**started, **flat})
    prune, combine, defer = (record[name] for name in ("prune", "combine", "defer"))
    other_shares = "keep_ratio" in flat or flat.get("keep_ratios") is not None
    layer = flat.get("combine_layer")
    if prune and settings.prune is not None and not other_shares:
        prune["schedule"] = _schedule(settings, settings.prune.schedule, layer, depth)
    if combine and settings.combine is not None and layer is None:
        combine["layer"] = settings.combine.layer
    if defer and settings.defer is not None and "reread_ratios" not in flat and not other_shares:
        schedule = settings.defer.schedule
        defer["schedule"] = None if schedule is None else _schedule(settings, schedule, layer, depth)
    return ReductionConfig.from_dict(record)


def _schedule(settings: ReductionConfig, schedule: Schedule, layer: Any, depth: int | None) -> dict[str, Any]:
    """The record of a schedule, cut off at a combining layer that is new."""
    if depth is None or not is_whole(layer, 1) or isinstance(schedule, Constant):
        return to_record(schedule)
    shares = schedule.expand(settings.before(depth))[: layer - 1]
    return to_record(Listed(shares) if shares else Constant())


def _flat_of(settings: ReductionConfig) -> dict[str, Any]:
    """The flat fields that tell the settings, but for shares and the place of the combining module."""
    found: dict[str, Any] = {
        "pruning": "none",
        "pooling": "host" if settings.pooling == "pretrained" else settings.pooling,
        "protect_special": settings.protect_special,
        "min_length": settings.min_length,
        "reread": settings.deferred,
    }
    if settings.prune is not None:
        found |= _flat_of_prune(settings.prune)
    if settings.combine is not None:
        module = to_record(settings.combine)
        found |= {f"combine_{name}": module[name] for name in module.keys() - {"name", "tokens"}}
        found |= {"combination_tokens": settings.combine.tokens, "combine_layer": 1}
    return found


def _flat_of_prune(prune: Prune) -> dict[str, Any]:
    score, select, site = to_record(prune.score), to_record(prune.select), prune.site
    newer = {
        "select": select["name"] not in ("top-share", "fuzzy"),
        "score": score["name"] not in ("received", "learned"),
        "merge": prune.merge not in (None, MostSimilar()),
        "site": (score["name"] == "learned") != site.ahead,
    }
    for place, is_newer in newer.items():
        if is_newer:
            name = getattr(prune, place).name
            raise ConfigError(
                f"prune.{place}={name}: version 0.1.0, whose names are given for other settings, had nothing like it; "
                "give these as dotted paths, such as prune.select.min_tokens"
            )
    found: dict[str, Any] = {
        name: select[name] for name in ("min_tokens", "alpha_important", "alpha_unimportant") if name in select
    }
    found |= {
        "pruning": "ratio" if select["name"] == "top-share" else "fuzzy",
        "ratio_scope": select.get("scope", "all"),
    }
    found |= {"score": score["name"], "site": "hidden" if site.leaves else "keys", "leaving_keys": site.keys_once_more}
    names = {"heads": "heads", "queries": "score_queries", "sample": "score_sample", "noise": "score_noise"}
    found |= {flat: score[name] for name, flat in names.items() if name in score}
    return found | {"merge_pruned": prune.merge is not None}


class PTCConfig:
    """The name of `ReductionConfig` in version 0.1.0: called with the flat fields, it gives a `ReductionConfig`."""

    def __new__(cls, *values: Any, **flat: Any) -> Any:
        """The settings of the flat fields."""
        warnings.warn(
            "PTCConfig goes with the next version: use ReductionConfig, whose settings are nested "
            "(ReductionConfig.preset('fast'), ReductionConfig(keep=0.7))",
            DeprecationWarning,
            stacklevel=2,
        )
        placed = dict(zip(FIELDS, values, strict=False))
        if len(values) > len(FIELDS) or placed.keys() & flat.keys():
            raise TypeError(
                f"PTCConfig takes {len(FIELDS)} values, each once; {len(values)} are given by position, and by name "
                f"{', '.join(flat) or 'none'}"
            )
        return from_flat(placed | flat)

    @classmethod
    def preset(cls, name: str, num_layers: int) -> ReductionConfig:
        """`ReductionConfig.preset`, which needs no depth."""
        settings = ReductionConfig.preset(name)
        settings.check_depth(num_layers)
        return settings

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ReductionConfig:
        """`ReductionConfig.from_dict`."""
        return ReductionConfig.from_dict(record)
