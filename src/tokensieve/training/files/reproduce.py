"""The command that repeats a run, rebuilt from its record: what differs from the defaults, and no more."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from tokensieve.backbones.default_model import HUB_NAME
from tokensieve.config import ReductionConfig
from tokensieve.errors import ConfigError
from tokensieve.methods import METHODS
from tokensieve.reduce.schedule import Constant
from tokensieve.settings_paths import Assignment, apply, assignments_of, value_text
from tokensieve.training.files.markdown import visible
from tokensieve.training.recipe import Recipe
from tokensieve.training.settings import keep_share

EMBEDDED_CORPUS = "Python standard library"
"""What a record calls the data of a run without --data."""
IN_MEMORY = ("", "TokensieveClassifier.fit", "PTCClassifier.fit")
"""What it calls data that no command can name; the last one in records of 0.1.0."""
READING: dict[str, Any] = {
    "text_column": "text",
    "label_column": "label",
    "pair_column": None,
    "multi_label": False,
    "label_separator": "|",
    "delimiter": None,
    "policy": "error",
    "validation_fraction": 0.2,
    "max_documents": None,
    "unlabelled": None,
}
"""How the command reads data by default, as arguments of `load_splits`."""
OPTIONS = {
    *("text_column", "label_column", "pair_column", "multi_label", "max_documents"),
    *("epochs", "learning_rate", "max_length", "batch_size", "bf16", "seed"),
}
"""Settings that have an option of the command; it is told all others by --set."""


def train_command(record: Mapping[str, Any], name: str, num_layers: int) -> str | None:
    """The `tokensieve train` of a run, an option a line, quoted for a shell; None where the data has no name.

    Args:
        record: as training.json has it. What it says under `reading` (keys as in `READING`) becomes options.
        name: the folder to make.
        num_layers: of the checkpoint that the run started from; the presets depend on it.
    """
    if record["data"] in IN_MEMORY:
        return None
    groups = [_launcher(record.get("processes", 1))]
    if record["base"] != HUB_NAME:
        groups.append(["--model", record["base"]])
    if record["data"] != EMBEDDED_CORPUS:
        groups.append(["--data", record["data"]])
    reading = READING | (record.get("reading") or {}) | {"multi_label": record["multi_label"]}
    groups += _options("data", reading, READING)
    recipe = Recipe.from_record(record["recipe"]).to_dict()
    groups += _reduction(ReductionConfig.from_dict(record["settings"]), recipe, num_layers)
    groups += _options("train", recipe, Recipe().to_dict())
    return " \\\n    ".join(" ".join(map(_quoted, group)) for group in [*groups, ["--output", name]])


def _quoted(part: str) -> str:
    """For a shell, on one line."""
    if part.isprintable():
        return shlex.quote(part)
    return "$'" + visible(part.replace("\\", r"\\").replace("'", r"\'")) + "'"


def _launcher(processes: int) -> list[str]:
    alone = ["tokensieve", "train"]
    return alone if processes == 1 else ["torchrun", "--nproc-per-node", str(processes), "-m", *alone]


def _reduction(settings: ReductionConfig, recipe: Mapping[str, Any], num_layers: int) -> list[list[str]]:
    """The options from the nearest start: none, or one of the presets.

    A preset that sets a field of the recipe is left out if the field has its default: the command would not tell it.
    """
    plain = Recipe().to_dict()
    starts = {None: ReductionConfig()} | {
        name: method.settings
        for name, method in METHODS.items()
        if all(recipe[field] != plain[field] for field in method.recipe)
    }
    changes = {}
    for preset, start in starts.items():
        with contextlib.suppress(ConfigError):  # the model is too shallow for it
            changes[preset] = _changes(start, settings, num_layers)
    nearest = min(changes, key=lambda preset: len(changes[preset]))
    return ([] if nearest is None else [["--preset", nearest]]) + changes[nearest]


def _changes(start: ReductionConfig, settings: ReductionConfig, num_layers: int) -> list[list[str]]:
    """What --keep and --set make of a start to reach the settings; nothing where they are the same at this depth."""
    if start.expanded(num_layers) == settings.expanded(num_layers):
        return []
    schedule = None if settings.prune is None else settings.prune.schedule
    keep = keep_share(schedule.keep) if isinstance(schedule, Constant) else []
    everything = assignments_of(settings.to_dict())
    record, kept = _assigned(start.to_dict(), keep)
    _, others = _assigned(record, everything)
    if _reaches(start, [*(keep if kept else []), *others], settings):
        share = [["--keep", value_text(keep[-1].value)]] if kept else []
        return share + _sets(others)
    return _sets(everything)


def _reaches(start: ReductionConfig, assignments: list[Assignment], settings: ReductionConfig) -> bool:
    with contextlib.suppress(ConfigError):  # a cell that is made by the way lacks its name
        return ReductionConfig.from_dict(apply(start.to_dict(), assignments)) == settings
    return False


def _sets(assignments: list[Assignment]) -> list[list[str]]:
    return [["--set", f"{each.name}={value_text(each.value)}"] for each in assignments if each.name != "format_version"]


def _assigned(record: dict[str, Any], assignments: Iterable[Assignment]) -> tuple[dict[str, Any], list[Assignment]]:
    """The record with the assignments, and those of them that changed it."""
    needed = []
    for assignment in assignments:
        changed = _with_defaults(apply(record, [assignment]))
        if changed != record:
            needed.append(assignment)
            record = changed
    return record, needed


def _with_defaults(record: dict[str, Any]) -> dict[str, Any]:
    """The record with all that a cell has unless told otherwise; as it is where it does not describe settings yet."""
    with contextlib.suppress(ConfigError):
        return ReductionConfig.from_dict(record).to_dict()
    return record


def _differing(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What options can say: None stands for leaving one out."""
    return {name: value for name, value in values.items() if value is not None and value != defaults[name]}


def _options(head: str, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[list[str]]:
    """What differs from the defaults: by an option where there is one, else by --set."""
    groups = []
    for name, value in _differing(values, defaults).items():
        if name not in OPTIONS:
            groups.append(["--set", f"{head}.{'on_bad_rows' if name == 'policy' else name}={value_text(value)}"])
        elif isinstance(value, bool):
            groups.append([f"--{'' if value else 'no-'}{name.replace('_', '-')}"])
        else:
            groups.append([f"--{name.replace('_', '-')}", str(value)])
    return groups
