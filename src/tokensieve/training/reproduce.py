"""The command that repeats a run, rebuilt from its record: what differs from the defaults, and no more."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping
from typing import Any

from tokensieve.backbones.default_model import HUB_NAME
from tokensieve.config import ReductionConfig
from tokensieve.errors import ConfigError
from tokensieve.methods import METHODS
from tokensieve.settings_paths import assignments_of, value_text
from tokensieve.training.markdown import visible
from tokensieve.training.old import RECIPE_FIELDS
from tokensieve.training.recipe import Recipe

EMBEDDED_CORPUS = "Python standard library"
"""What a record calls the data of a run without --data."""
IN_MEMORY = ("", "PTCClassifier.fit")
"""What it calls data that no command can name."""
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
_OPTIONS = {"policy": "on-bad-rows"} | {field: option for option, field in RECIPE_FIELDS.items()}
"""Options that have another name than the entry; those of the recipe have the names of 0.1.0."""


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
    groups += _options(READING | (record.get("reading") or {}) | {"multi_label": record["multi_label"]}, READING)
    groups += _reduction(ReductionConfig.from_dict(record["settings"]), num_layers)
    groups += _options(Recipe.from_record(record["recipe"]).to_dict(), Recipe().to_dict())
    return " \\\n    ".join(" ".join(map(_quoted, group)) for group in [*groups, ["--output", name]])


def _quoted(part: str) -> str:
    """For a shell, on one line."""
    if part.isprintable():
        return shlex.quote(part)
    return "$'" + visible(part.replace("\\", r"\\").replace("'", r"\'")) + "'"


def _launcher(processes: int) -> list[str]:
    alone = ["tokensieve", "train"]
    return alone if processes == 1 else ["torchrun", "--nproc-per-node", str(processes), "-m", *alone]


def _reduction(settings: ReductionConfig, num_layers: int) -> list[list[str]]:
    """The options from the nearest start: none, or one of the presets."""
    starts = {None: ReductionConfig()} | {name: method.settings for name, method in METHODS.items()}
    found = {}
    for preset, start in starts.items():
        with contextlib.suppress(ConfigError):  # the model is too shallow for it
            found[preset] = _changes(start, settings, num_layers)
    nearest = min(found, key=lambda preset: len(found[preset]))
    return ([] if nearest is None else [["--preset", nearest]]) + found[nearest]


def _changes(start: ReductionConfig, settings: ReductionConfig, num_layers: int) -> list[list[str]]:
    """What `--set` makes of a start to reach the settings; nothing where they are the same at this depth."""
    if start.expanded(num_layers) == settings.expanded(num_layers):
        return []
    before, wanted = (assignments_of(each.to_dict()) for each in (start, settings))
    return [["--set", f"{each.name}={value_text(each.value)}"] for each in wanted if each not in before]


def _differing(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What options can say: None stands for leaving one out."""
    return {name: value for name, value in values.items() if value is not None and value != defaults[name]}


def _options(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[list[str]]:
    groups = []
    for name, value in _differing(values, defaults).items():
        option = _OPTIONS.get(name, name).replace("_", "-")
        if isinstance(value, bool):
            groups.append([f"--{option}" if value else f"--no-{option}"])
        else:
            groups.append(
                [f"--{option}", ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)]
            )
    return groups
