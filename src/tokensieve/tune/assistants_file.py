"""What a search for few-shot tasks leaves: a JSON file of settings, which other commands take, and one of figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokensieve.config.record import to_record
from tokensieve.errors import ConfigError
from tokensieve.runtime.part import check_part, check_replaceable, json_with, output_place, part_file, part_name
from tokensieve.tune.assistants import Row
from tokensieve.tune.few_shot import FewShotTask

SEARCH = ".search.json"
"""Ends the name of the figures, in place of the ending of the settings' name."""
_OF_SETTINGS = json_with("preset")
_OF_FIGURES = json_with("tasks", "rows", "chosen")


def settings_record(row: Row) -> dict[str, Any]:
    """The settings of a row as a file of `--config` has them: a preset, and what is changed of it."""
    if row.configuration is None:
        return {"preset": "dense"}
    settings = row.configuration.settings
    assert settings.prune is not None
    prune = {"schedule": to_record(settings.prune.schedule)}
    if settings.prune.merge is not None:
        prune["merge"] = to_record(settings.prune.merge)
    return {"preset": "quantile", "min_length": settings.min_length, "prune": prune}


def record_of(
    model: str, tasks: Sequence[FewShotTask], rows: Sequence[Row], chosen: Row, goal: Mapping[str, Any]
) -> dict[str, Any]:
    """The figures of a search: its tasks, all rows, and the chosen one."""
    return {
        "model": model,
        **goal,
        "tasks": {
            task.name: {"labels": task.draws.shape[1], "test": len(task.test), "encoded": len(task.documents)}
            for task in tasks
        },
        "rows": [_row(row) for row in rows],
        "chosen": _row(chosen),
        "settings": settings_record(chosen),
    }


def check_files(output: Path, overwrite: bool) -> None:
    """Refuse names that cannot be written, before the search.

    Raises:
        ConfigError: `output` is no .json file in a folder that exists, or there is a file, and `overwrite` is False or
            tokensieve did not write it.
    """
    if output.suffix != ".json":
        raise ConfigError(f"output {output}: with --tasks it is a file of settings: end its name in .json")
    for path, ours in ((output, _OF_SETTINGS), (_figures(output), _OF_FIGURES)):
        place = output_place(path)
        if place.exists() and not overwrite:
            raise ConfigError(f"output {path} exists: name another file, or give --overwrite")
        check_replaceable(path, ours)
        check_part(part_name(place))


def write_files(output: Path, chosen: Row, record: Mapping[str, Any]) -> None:
    """Write the figures, then the settings, each as a whole."""
    for path, ours, content in (
        (_figures(output), _OF_FIGURES, record),
        (output, _OF_SETTINGS, settings_record(chosen)),
    ):
        with part_file(path, ours) as file:
            file.write(json.dumps(content, indent=2) + "\n")


def _figures(output: Path) -> Path:
    return output.with_name(output.stem + SEARCH)


def _row(row: Row) -> dict[str, Any]:
    configuration = None if row.configuration is None else row.configuration._asdict()
    figures = {"change": row.change, "flops": row.flops, "seconds": row.seconds, "changes": dict(row.changes)}
    return {"configuration": configuration, **figures}
