"""Records of version 0.1.0 in the words of today: their keys have other names, and nothing else differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RECIPE_FIELDS = {
    "tighten": "pruning_warmup",
    "new_rate": "head_lr_multiplier",
    "follow": "feature_epochs",
    "follow_rate": "feature_learning_rate",
    "reread_loss": "max_expected_loss",
    "align": "refit_head",
}
"""Fields of a recipe: the names of 0.1.0 and those of today. The options of the command have the old ones."""
RECORD_KEYS = {"followed": "feature_distillation", "head_alignment": "head_refit", "reread": "cascade"}
"""The same for keys of `training.json`."""


def recipe_today(recipe: Any) -> Any:
    """A recipe from a record, with the names of today; what is no object stays as it is."""
    return _renamed(recipe, RECIPE_FIELDS)


def record_today(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a `training.json` holds, with the names of today, also in what it says of an earlier run."""
    today: dict[str, Any] = _renamed(record, RECORD_KEYS)
    if "recipe" in today:
        today["recipe"] = recipe_today(today["recipe"])
    if isinstance(today.get("started_from"), Mapping):
        today["started_from"] = record_today(today["started_from"])
    return today


def _renamed(record: Any, names: Mapping[str, str]) -> Any:
    return {names.get(key, key): value for key, value in record.items()} if isinstance(record, Mapping) else record
