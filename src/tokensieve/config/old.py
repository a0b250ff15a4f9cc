"""The flat records of version 0.1.0 as nested ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokensieve.checks import AT_LEAST_ZERO, BOOLEAN, SHARE, Check, check_value, list_of, number, one_of, shown, whole
from tokensieve.errors import ConfigError
from tokensieve.settings_paths import Assignment, unknown_name

FORMAT_VERSION = 1

FIELDS: dict[str, Any] = {
    "pruning": "fuzzy",
    "keep_ratio": 0.9,
    "keep_ratios": None,
    "ratio_scope": "all",
    "site": "keys",
    "merge_pruned": False,
    "heads": "shared",
    "combine_layer": None,
    "combine_mode": "replace",
    "combination_tokens": 8,
    "protect_special": True,
    "pooling": "auto",
    "min_length": 0,
    "min_tokens": 1,
    "alpha_important": 0.01,
    "alpha_unimportant": 0.9,
    "combine_scale": True,
    "combine_noise": True,
    "combine_count_offset": 0.0,
    "combine_init": "random",
    "combine_assignment": "hard",
    "score": "received",
    "leaving_keys": False,
    "score_noise": 0.0,
    "score_queries": "all",
    "score_sample": 32,
    "reread": 0.0,
    "reread_ratios": None,
}
"""Every field, and its default."""

_KEEP = number(lambda share: 0 < share <= 1, "a number in (0, 1]")
_SHARES = Check(
    lambda shares: list_of(_KEEP, "numbers").fits(shares) and bool(shares), "give a number in (0, 1] for each layer"
).or_none()
_CHECKS = {
    "pruning": one_of(("none", "ratio", "fuzzy")),
    "keep_ratio": _KEEP,
    "keep_ratios": _SHARES,
    "ratio_scope": one_of(("all", "candidates")),
    "site": one_of(("keys", "hidden")),
    "merge_pruned": BOOLEAN,
    "heads": one_of(("shared", "per_head")),
    "combine_layer": whole(1).or_none(),
    "combine_mode": one_of(("replace", "insert")),
    "combination_tokens": whole(1),
    "protect_special": BOOLEAN,
    "pooling": one_of(("auto", "host", "mean")),
    "min_length": whole(0),
    "min_tokens": whole(1),
    "alpha_important": SHARE,
    "alpha_unimportant": SHARE,
    "combine_scale": BOOLEAN,
    "combine_noise": BOOLEAN,
    "combine_count_offset": AT_LEAST_ZERO,
    "combine_init": one_of(("random", "identity")),
    "combine_assignment": one_of(("hard", "soft")),
    "score": one_of(("received", "learned")),
    "leaving_keys": BOOLEAN,
    "score_noise": AT_LEAST_ZERO,
    "score_queries": one_of(("all", "anchors", "sample")),
    "score_sample": whole(1),
    "reread": number(lambda share: 0 <= share < 1, "a share of the documents, 0 or more and below 1"),
    "reread_ratios": _SHARES,
}
"""The check of every field, even of one that has no effect beside the others."""


def is_flat(record: Mapping[str, Any]) -> bool:
    """Whether a record is a flat one of version 0.1.0, or has fields of one."""
    version = record.get("format_version")
    names = record.keys() - {"format_version"}
    shared = ("pooling", "protect_special", "min_length")
    if "format_version" in record:
        return type(version) is int and version == FORMAT_VERSION
    return any(name in FIELDS and name not in shared for name in names) or record.get("pooling") == "host"


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The nested record that stands for a flat one; fields that it lacks have their defaults.

    Raises:
        ConfigError: unknown fields, another format version, or values that do not go together.
    """
    given = dict(flat)
    version = given.pop("format_version", FORMAT_VERSION)
    if type(version) is not int or version != FORMAT_VERSION:
        raise ConfigError(f"format_version={shown(version)} in a record of the flat settings: give {FORMAT_VERSION}")
    for name in given:
        if name not in FIELDS:
            raise unknown_name("", str(name), list(FIELDS))
    values = {**FIELDS, **given}
    for name, check in _CHECKS.items():
        check_value(name, values[name], check)
    _check_pairs(values)
    return {
        "prune": None if values["pruning"] == "none" else _prune(values),
        "combine": None if values["combine_layer"] is None else _combine(values),
        "defer": _defer(values) if values["reread"] else None,
        "pooling": "pretrained" if values["pooling"] == "host" else values["pooling"],
        "protect_special": values["protect_special"],
        "min_length": values["min_length"],
    }


def _check_pairs(values: Mapping[str, Any]) -> None:
    """Raise ConfigError for combinations that flat fields can express and nested settings cannot."""
    learned = values["score"] == "learned"
    refused = {
        "ratio_scope": values["ratio_scope"] != "all" and values["pruning"] != "fuzzy",
        "merge_pruned": values["merge_pruned"] and values["site"] != "hidden",
        "score": learned and values["site"] != "hidden",
        "leaving_keys": values["leaving_keys"] and not learned,
        "score_noise": values["score_noise"] and not learned,
        "score_queries": values["score_queries"] != "all" and learned,
        "reread": values["reread"] and values["pruning"] == "none",
        "reread_ratios": values["reread_ratios"] is not None and not values["reread"],
        "heads": values["heads"] == "per_head" and values["site"] == "hidden",
    }
    needed = {
        "ratio_scope": "pruning='fuzzy'",
        "merge_pruned": "site='hidden'",
        "score": "site='hidden'",
        "leaving_keys": "score='learned'",
        "score_noise": "score='learned'",
        "score_queries": "score='received'",
        "reread": "pruning",
        "reread_ratios": "reread",
        "heads": "site='keys'",
    }
    for name, wrong in refused.items():
        if wrong:
            raise ConfigError(f"{name}={shown(values[name])} needs {needed[name]}: give that too, or leave {name} out")


def _prune(values: Mapping[str, Any]) -> dict[str, Any]:
    learned, fuzzy = values["score"] == "learned", values["pruning"] == "fuzzy"
    score = {"name": "learned", "noise": values["score_noise"]}
    received = {"name": "received", "heads": values["heads"], "queries": values["score_queries"]}
    received |= {"sample": values["score_sample"]}
    select = {"name": "top-share", "min_tokens": values["min_tokens"]}
    cuts = {name: values[name] for name in ("alpha_important", "alpha_unimportant")}
    ahead = {"name": "ahead", "keys_once_more": values["leaving_keys"]}
    return {
        "score": score if learned else received,
        "select": select | ({"name": "fuzzy", "scope": values["ratio_scope"], **cuts} if fuzzy else {}),
        "schedule": _schedule(values["keep_ratios"]) or {"name": "constant", "keep": values["keep_ratio"]},
        "site": ahead if learned else values["site"],
        "merge": "most-similar" if values["merge_pruned"] else None,
    }


def _schedule(shares: Any) -> dict[str, Any] | None:
    return None if shares is None else {"name": "listed", "shares": shares}


def _combine(values: Mapping[str, Any]) -> dict[str, Any]:
    names = ("layer", "mode", "scale", "noise", "count_offset", "init", "assignment")
    chosen = {name: values[f"combine_{name}"] for name in names}
    return {"name": "combining-module", "tokens": values["combination_tokens"], **chosen}


def _defer(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"share": values["reread"], "schedule": _schedule(values["reread_ratios"])}


_PLACES: dict[str, str] = {
    "ratio_scope": "prune.select.scope",
    "alpha_important": "prune.select.alpha_important",
    "alpha_unimportant": "prune.select.alpha_unimportant",
    "min_tokens": "prune.select.min_tokens",
    "heads": "prune.score.heads",
    "score_queries": "prune.score.queries",
    "score_sample": "prune.score.sample",
    "score_noise": "prune.score.noise",
    "leaving_keys": "prune.site.keys_once_more",
    "combine_layer": "combine.layer",
    "combine_mode": "combine.mode",
    "combination_tokens": "combine.tokens",
    "combine_scale": "combine.scale",
    "combine_noise": "combine.noise",
    "combine_count_offset": "combine.count_offset",
    "combine_init": "combine.init",
    "combine_assignment": "combine.assignment",
    "reread": "defer.share",
    "protect_special": "protect_special",
    "min_length": "min_length",
    "keep_ratio": "prune.schedule",
    "keep_ratios": "prune.schedule",
    "reread_ratios": "defer.schedule",
    "pruning": "prune.select",
    "score": "prune.score",
    "site": "prune.site",
    "merge_pruned": "prune.merge",
    "pooling": "pooling",
}
_WORDS: dict[str, dict[Any, Any]] = {
    "pruning": {"ratio": "top-share"},
    "merge_pruned": {True: "most-similar", False: None},
    "pooling": {"host": "pretrained"},
}


def assignments(flat: Mapping[str, Any], learned: bool = False) -> list[Assignment]:
    """Translate flat fields into assignments to the nested record; a cell comes ahead of its settings.

    Args:
        flat: some of `FIELDS`.
        learned: whether the settings to change have a learned score, with which tokens leave ahead of a layer.

    Raises:
        ConfigError: an unknown field.
    """
    for name in flat:
        if name not in FIELDS:
            raise unknown_name("", str(name), list(FIELDS))
    learned = flat.get("score", "learned" if learned else "received") == "learned"
    assigned = []
    for name, place in _PLACES.items():
        if name in flat:
            assigned += _assigned(name, tuple(place.split(".")), flat[name], learned)
    if flat.get("score") == "learned" and "site" not in flat:
        assigned.append(Assignment(("prune", "site"), "ahead"))
    gone = {each.path[0] for each in assigned if len(each.path) == 1 and each.value is None}  # and their settings
    assigned = [each for each in assigned if len(each.path) == 1 or each.path[0] not in gone]
    return sorted(assigned, key=lambda assignment: len(assignment.path))


def _assigned(name: str, path: tuple[str, ...], value: Any, learned: bool) -> list[Assignment]:
    """The assignments of one flat field."""
    if name == "pruning" and value == "none":
        return [Assignment(("prune",), None)]
    if name == "keep_ratio":
        return [Assignment(path, {"name": "constant", "keep": value})]
    if name in ("keep_ratios", "reread_ratios"):
        return [] if value is None and name == "keep_ratios" else [Assignment(path, _schedule(value))]
    if name == "site" and value == "hidden" and learned:
        value = "ahead"
    if (name == "reread" and value == 0) or (name == "combine_layer" and value is None):
        path, value = path[:1], None
    known = _WORDS.get(name, {})
    return [Assignment(path, known[value] if isinstance(value, (str, bool)) and value in known else value)]
