"""Names of version 0.1.0: they work, and a warning names those of today."""

import importlib
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any

import pytest

import tokensieve
from tokensieve import Recipe
from tokensieve.cascade.fit import fit_defer
from tokensieve.renamed import MODULES, NAMES, renamed_arguments
from tokensieve.training.old import RECIPE_FIELDS, record_today


@pytest.mark.parametrize("module", NAMES)
def test_every_old_name_is_the_new_object(module: str) -> None:
    old, home = importlib.import_module(module), importlib.import_module(MODULES.get(module, module))
    for name, today in NAMES[module].items():
        with pytest.warns(DeprecationWarning, match=rf"{module}\.{name} is now .*"):
            found = getattr(old, name)
        assert found is (fit_defer if ":" in today else getattr(home, today))


@pytest.mark.parametrize("module", MODULES)
def test_every_old_module_gives_all_names_of_the_new_one(module: str) -> None:
    home = importlib.import_module(MODULES[module])
    name = next(name for name in dir(home) if not name.startswith("_"))
    with pytest.warns(DeprecationWarning, match=MODULES[module]):
        assert getattr(importlib.import_module(module), name) is getattr(home, name)
    with pytest.raises(AttributeError):
        importlib.import_module(module).no_such_name  # noqa: B018


def test_a_name_that_never_was_is_none() -> None:
    with pytest.raises(ImportError):
        from tokensieve.training.checkpoints import no_such_name  # noqa: F401
    with pytest.raises(ImportError):
        import tokensieve.training.no_such_module  # noqa: F401


def test_the_warning_is_about_the_users_line() -> None:
    script = "import tokensieve\nfrom tokensieve.training.follow import VectorLoss\nprint(VectorLoss.__name__)"
    found = subprocess.run(
        [sys.executable, "-W", "always::DeprecationWarning", "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout == "FeatureLoss\n"
    assert "<string>:2: DeprecationWarning: tokensieve.training.follow.VectorLoss is now" in found.stderr


@pytest.mark.parametrize(("old", "new"), RECIPE_FIELDS.items())
def test_old_fields_of_a_recipe(old: str, new: str) -> None:
    value = {"refit_head": False, "feature_epochs": 2}.get(new, 0.25)
    with pytest.warns(DeprecationWarning, match=rf"Recipe\({old}=\.\.\.\) is now {new}"):
        recipe = Recipe(**{old: value})  # type: ignore[arg-type]
    assert recipe == Recipe(**{new: value})  # type: ignore[arg-type]
    with pytest.warns(DeprecationWarning, match=rf"Recipe\.{old} is now {new}"):
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
