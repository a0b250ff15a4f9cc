"""Names of earlier versions: they work for one release, and a DeprecationWarning names what took their place.

`MODULES` lists modules that are gone, `NAMES` names that are gone from modules that stay, and `renamed_arguments` is
for classes whose arguments have other names now.
"""

from __future__ import annotations

import functools
import importlib
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T", bound=type)

MODULES: dict[str, str] = {
    "tokensieve.training.alignment": "tokensieve.training.head_refit",
    "tokensieve.training.follow": "tokensieve.training.feature_distillation",
    "tokensieve.training.reread": "tokensieve.training.fit_cascade",
    "tokensieve.training.tighten": "tokensieve.training.pruning_warmup",
    "tokensieve.training.whole_steps": "tokensieve.training.tokensieve_trainer",
}
"""Modules of earlier versions, and where their names are today."""

NAMES: dict[str, dict[str, str]] = {
    "tokensieve.training.alignment": {"Alignment": "RidgeMap", "align_head": "refit_head"},
    "tokensieve.training.checkpoints": {
        "is_whole": "is_complete",
        "last_whole": "last_complete",
        "mark_whole": "mark_complete",
    },
    "tokensieve.training.distill": {"DistilledLoss": "DistillationLoss", "Taught": "WithTargets"},
    "tokensieve.training.follow": {
        "VectorLoss": "FeatureLoss",
        "follow": "distil_features",
        "only": "only_trainable",
        "read_by_following": "distillation_documents",
    },
    "tokensieve.training.order": {"FilledUp": "PaddedDocuments", "FollowEpochs": "SetEpoch"},
    "tokensieve.training.reread": {"check_reread": "check_cascade", "fit_reread": "tokensieve.cascade.fit:fit_defer"},
    "tokensieve.training.tighten": {"TightenPruning": "PruningWarmup"},
    "tokensieve.training.whole_steps": {"WholeStepsTrainer": "TokensieveTrainer"},
}
"""By module, names of earlier versions and those of today; "module:name" where it is in another module."""


def renamed_names(module: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module that has names in `NAMES`, or is one of `MODULES`."""
    names, home = NAMES.get(module, {}), MODULES.get(module, module)

    def get(name: str) -> Any:
        moved_as_it_is = home != module and not name.startswith("__")
        if name not in names and not moved_as_it_is:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        place, _, today = names.get(name, name).rpartition(":")
        place = place or home
        found = getattr(importlib.import_module(place), today)
        _warn(f"{module}.{name} is now {place}.{today}: the old name goes with the next release")
        return found

    return get


def renamed_arguments(names: Mapping[str, str]) -> Callable[[T], T]:
    """Let a class take arguments, and its objects give attributes, by names of an earlier version, too.

    Args:
        names: of earlier versions, and those of today.
    """

    def decorate(cls: T) -> T:
        init: Callable[..., None] = cls.__init__  # type: ignore[misc]

        @functools.wraps(init)
        def renaming(self: Any, *arguments: Any, **options: Any) -> None:
            for old in names.keys() & options.keys():
                _warn(f"{cls.__name__}({old}=...) is now {names[old]}: the old name goes with the next release")
                options[names[old]] = options.pop(old)
            init(self, *arguments, **options)

        def get(self: Any, name: str) -> Any:
            if name not in names:
                raise AttributeError(f"{cls.__name__!r} object has no attribute {name!r}")
            _warn(f"{cls.__name__}.{name} is now {names[name]}: the old name goes with the next release")
            return getattr(self, names[name])

        cls.__init__ = renaming  # type: ignore[misc]
        cls.__getattr__ = get  # type: ignore[attr-defined]
        return cls

    return decorate


def _warn(message: str) -> None:
    """In the name of whoever uses the old name: the caller of this function's caller."""
    warnings.warn(message, DeprecationWarning, stacklevel=3)


class _OldModules(MetaPathFinder, Loader):
    """Makes an empty module of each of `MODULES`, whose attributes are those of the module that took its place."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = renamed_names(module.__name__)  # type: ignore[method-assign]


def find_old_modules() -> None:
    """Let Python import `MODULES`."""
    if not any(isinstance(finder, _OldModules) for finder in sys.meta_path):
        sys.meta_path.append(_OldModules())
