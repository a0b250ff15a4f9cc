"""The flat records of version 0.1.0 as nested ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokensieve.checks import AT_LEAST_ZERO, BOOLEAN, SHARE, Check, check_value, list_of, number, one_of, shown, whole
from tokensieve.errors import ConfigError
from tokensieve.settings_paths import unknown_name

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

_NAMES_OF_FLAT_ALONE = FIELDS.keys() - {"pooling", "protect_special", "min_length"}  # nested settings have these, too
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
    if "format_version" in record:
        return type(record["format_version"]) is int and record["format_version"] == FORMAT_VERSION
    return not _NAMES_OF_FLAT_ALONE.isdisjoint(record) or record.get("pooling") == "host"


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
