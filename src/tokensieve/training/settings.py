"""What a run starts from: the checkpoint that is meant, and the reduction settings as they were given in part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tokensieve.backbones.default_model import default_model_dir
from tokensieve.checks import shown
from tokensieve.config import PTCConfig
from tokensieve.errors import ConfigError
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.settings_paths import Assignment, unknown_name

REDUCTION_NAMES = ("prune", "combine", "defer", "pooling", "protect_special", "min_length")
"""The outermost names of the reduction settings."""


def base_checkpoint(model: str | None) -> str:
    """The checkpoint named, else the embedded default model.

    Raises:
        MissingExtraError: none is named and the default model is not installed.
    """
    return str(default_model_dir()) if model is None else model


def reduction_settings(config: TokensieveConfig, preset: str | None, assignments: Iterable[Assignment]) -> PTCConfig:
    """The preset, or the checkpoint's settings, with changes.

    Args:
        config: of the checkpoint.
        preset: a name to start from; None: the checkpoint's settings.
        assignments: of dotted paths of the settings, made in order.

    Raises:
        ConfigError: an unknown preset or name, values out of range, or settings that do not fit the checkpoint's depth.
    """
    given: dict[str, Any] = {}
    for assignment in assignments:
        given |= dict(_flat(assignment))
    return _changed(config, preset, given)


def keep_share(share: Any) -> list[Assignment]:
    """The assignments by which every layer keeps the same share of its tokens."""
    schedule = ("prune", "schedule")
    return [Assignment(schedule, "constant"), Assignment((*schedule, "keep"), share)]


def flat_settings(config: TokensieveConfig, preset: str | None, given: Mapping[str, Any]) -> PTCConfig:
    """`reduction_settings` with the fields that are given (are not None) in place of the start's."""
    return _changed(config, preset, {name: value for name, value in given.items() if value is not None})


def _changed(config: TokensieveConfig, preset: str | None, given: Mapping[str, Any]) -> PTCConfig:
    layers = config.num_hidden_layers
    start = config.settings if preset is None else PTCConfig.preset(preset, layers)
    settings = start.changed(**given)
    settings.check_depth(layers)
    return settings


_FIELDS = {
    "prune.schedule.keep": "keep_ratio",
    "prune.schedule.shares": "keep_ratios",
    "prune.select.scope": "ratio_scope",
    "prune.select.alpha_important": "alpha_important",
    "prune.select.alpha_unimportant": "alpha_unimportant",
    "prune.select.min_tokens": "min_tokens",
    "prune.site.keys_once_more": "leaving_keys",
    "prune.score": "score",
    "prune.score.heads": "heads",
    "prune.score.queries": "score_queries",
    "prune.score.sample": "score_sample",
    "prune.score.noise": "score_noise",
    "combine.layer": "combine_layer",
    "combine.mode": "combine_mode",
    "combine.tokens": "combination_tokens",
    "combine.scale": "combine_scale",
    "combine.noise": "combine_noise",
    "combine.count_offset": "combine_count_offset",
    "combine.init": "combine_init",
    "combine.assignment": "combine_assignment",
    "defer.share": "reread",
    "defer.schedule.shares": "reread_ratios",
    "protect_special": "protect_special",
    "min_length": "min_length",
}
_CHOICES: dict[str, tuple[str, dict[Any, Any]]] = {
    "prune": ("pruning", {None: "none"}),
    "prune.select": ("pruning", {"top-share": "ratio"}),
    "prune.site": ("site", {"ahead": "hidden"}),
    "prune.merge": ("merge_pruned", {"most-similar": True, None: False}),
    "combine": ("combine_layer", {}),
    "defer": ("reread", {None: 0.0}),
    "pooling": ("pooling", {"pretrained": "host"}),
}


def _flat(assignment: Assignment) -> Iterator[tuple[str, Any]]:
    """What an assignment is among the fields of PTCConfig."""
    name, value = assignment.name, assignment.value
    if name in ("prune.schedule", "defer.schedule"):
        return
    if name in _CHOICES:
        field, words = _CHOICES[name]
        try:
            value = words.get(value, value)
        except TypeError as error:
            raise ConfigError(f"{name}={shown(value)}: give a name") from error
        yield field, value
    elif name in _FIELDS:
        yield _FIELDS[name], value
    else:
        raise unknown_name("", name, [*_CHOICES, *_FIELDS])


def flat_assignments(settings: Mapping[str, Any]) -> list[Assignment]:
    """Some fields of PTCConfig as assignments of dotted paths."""
    found = []
    for field, value in settings.items():
        for name, (choice, words) in _CHOICES.items():
            if choice == field and (name != "prune" or value == "none") and (name != "combine" or value is None):
                back = {own: word for word, own in words.items()}
                found.append(Assignment(tuple(name.split(".")), back.get(value, value)))
                break
        else:
            (name,) = (name for name, own in _FIELDS.items() if own == field)
            found.append(Assignment(tuple(name.split(".")), list(value) if isinstance(value, tuple) else value))
    return found
