"""Recipes and records of version 0.1.0: their names work, and a warning tells those of today."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

import tokensieve
from tokensieve import Recipe
from tokensieve.old_names import renamed_arguments
from tokensieve.training.old import RECIPE_FIELDS, record_today


@pytest.mark.parametrize(("old", "new"), RECIPE_FIELDS.items())
def test_old_fields_of_a_recipe(old: str, new: str) -> None:
    value = {"refit_head": False, "feature_epochs": 2}.get(new, 0.25)
    with pytest.warns(DeprecationWarning, match=rf"Recipe\({old}=\.\.\.\) is now called {new}"):
        recipe = Recipe(**{old: value})  # type: ignore[arg-type]
    assert recipe == Recipe(**{new: value})  # type: ignore[arg-type]
    with pytest.warns(DeprecationWarning, match=rf"Recipe\.{old} is now called {new}"):
        assert getattr(recipe, old) == value
    with pytest.warns(DeprecationWarning, match=old):
        assert replace(Recipe(), **{old: value}) == recipe  # type: ignore[arg-type]


def test_renamed_arguments_leave_others_alone() -> None:
    @renamed_arguments({"old": "new"})
    @dataclass(frozen=True)
    class Settings:
        new: int = 1

    assert Settings(2).new == 2 and Settings(new=3) == Settings(3)
    with pytest.raises(TypeError, match="other"):
        Settings(other=1)  # type: ignore[call-arg]
    with pytest.raises(AttributeError, match="other"):
        Settings().other  # type: ignore[attr-defined]  # noqa: B018


def test_a_record_of_0_1_0() -> None:
    fields = {new: old for old, new in RECIPE_FIELDS.items()}
    recipe = Recipe(feature_epochs=1, max_expected_loss=0.5, pruning_warmup=0.25)
    old = {fields.get(name, name): value for name, value in recipe.to_dict().items()}
    assert Recipe.from_record(old) == Recipe.from_record(recipe.to_dict()) == recipe
    assert Recipe.from_record({"follow": 1}) == Recipe(feature_epochs=1)
    with pytest.raises(tokensieve.ConfigError, match="recipe has no field 'followed'"):
        Recipe.from_record({"followed": 1})
    record: dict[str, Any] = {
        "recipe": old,
        "followed": {"epochs": 1},
        "head_alignment": None,
        "reread": {"share": 0.1},
    }
    today = {"recipe": recipe.to_dict(), "feature_distillation": {"epochs": 1}, "head_refit": None}
    assert record_today(record | {"started_from": record, "seconds": 3}) == {
        **today,
        "cascade": {"share": 0.1},
        "started_from": today | {"cascade": {"share": 0.1}},
        "seconds": 3,
    }
    assert record_today(today) == today
