"""`tokensieve tune --tasks`: the offline search of quantile pruning for few-shot tasks."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokensieve.cli.data import name_of_data
from tokensieve.cli.options import bar
from tokensieve.errors import ConfigError

if TYPE_CHECKING:
    from tokensieve.tune.assistants import Row

TASKS = "Few-shot tasks"
SHOTS, TOLERANCE, BY = 10, 1.0, "seconds"
OF_TASKS = ("shots", "tolerance", "every_task", "by", "grid", "max_length")
"""Options of the panel beside --tasks."""
DRAWS = 3
"""How often the shots are drawn."""


def _option(*names: str, help: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=TASKS)


Tasks = Annotated[
    list[str] | None,
    _option(
        "--tasks",
        help="Search quantile pruning for frozen vectors on this task, as train takes --data (repeatable). MODEL is "
        "then any checkpoint (default: all-MiniLM-L6-v2), and OUTPUT a JSON file of settings.",
    ),
]
Shots = Annotated[int, _option("--shots", help="Training documents of each label.")]
Tolerance = Annotated[float, _option("--tolerance", help="Points of accuracy that may be lost, in the tasks' mean.")]
EveryTask = Annotated[bool, _option("--every-task", help="The tolerance holds for each task alone, too.")]
By = Annotated[
    str, _option("--by", help="Take what has least seconds, measured here, or least flops, on a busy machine.")
]
Grids = Annotated[
    list[str] | None,
    _option(
        "--grid",
        help="Values that are tried: of s, tokens from which on a text is pruned; of q, the quantile below which "
        "tokens leave; of l, the layer that prunes; of m, 1 to merge such tokens into similar ones (repeatable, as "
        "--grid q=0.2,0.3 --grid l=3,4).",
    ),
]
MaxLength = Annotated[int | None, _option("--max-length", help="Truncate documents to this many tokens.")]


def search_tasks(
    tasks: Sequence[str],
    model: str | None,
    output: Path,
    reading: dict[str, Any],
    how: dict[str, Any],
    *,
    overwrite: bool,
    json: bool,
) -> None:
    """Search, write the settings and the figures, and print them.

    Args:
        tasks: files, folders or data sets.
        model: a checkpoint; None: the default one.
        output: the settings' file; the figures go beside it.
        reading: how documents are read, a value for each of DATA_FIELDS.
        how: the options of the panel, by the names of their parameters.
        overwrite: replace both files if they are there.
        json: print one JSON object.

    Raises:
        ConfigError: an option out of range, or a file in the way.
        DataError: a task that cannot be used.
    """
    from tokensieve.tune.assistants import search
    from tokensieve.tune.assistants_file import SEARCH, check_files, record_of, write_files
    from tokensieve.tune.configurations import Encoders
    from tokensieve.tune.few_shot import load_task

    grid, by = _grid(how["grid"]), _checked(how)
    check_files(output, overwrite)
    refused = ("multi_label", "unlabelled")
    if wrong := [name for name in refused if reading[name]]:
        raise ConfigError(f"--set data.{wrong[0]}: a few-shot task has one label a document: leave it out")
    splits = {name: value for name, value in reading.items() if name not in ("on_bad_rows", "max_documents")}
    splits["policy"] = reading["on_bad_rows"]
    drawn: dict[str, Any] = {"shots": how["shots"], "draws": DRAWS, "seed": 0, "most": reading["max_documents"]}
    loaded = [load_task(task, **drawn, **splits) for task in tasks]
    encoders = Encoders(model, max_length=how["max_length"])
    progress = bar(len(grid.without_length()) * len(grid.min_lengths), "searching", json, "configurations")
    goal: dict[str, Any] = {"tolerance": how["tolerance"], "by": by, "every_task": how["every_task"]}
    rows, chosen = search(encoders, loaded, grid, shots=how["shots"], progress=progress, **goal)
    named = "all-MiniLM-L6-v2" if model is None else name_of_data(model)
    record = record_of(named, loaded, rows, chosen, {**goal, "shots": how["shots"], "draws": DRAWS})
    write_files(output, chosen, record)
    if json:
        typer.echo(json_module.dumps({"output": str(output), **record}, ensure_ascii=False, indent=2))
        return
    typer.echo("\n".join([*_lines(rows, chosen), f"saved in {output}, with figures in {output.stem}{SEARCH}"]))


def _checked(how: dict[str, Any]) -> Any:
    if how["shots"] < 1:
        raise ConfigError(f"--shots={how['shots']}: give 1 or more")
    if not 0 <= how["tolerance"] <= 100:
        raise ConfigError(f"--tolerance={how['tolerance']:g}: give points of accuracy, 0 to 100")
    if how["by"] not in ("seconds", "flops"):
        raise ConfigError(f"--by={how['by']}: give seconds or flops")
    return how["by"]


def _grid(texts: Sequence[str] | None) -> Any:
    """The grid of `--grid`, with the defaults of what is not named."""
    from tokensieve.tune.configurations import Grid

    kinds: dict[str, tuple[str, Callable[[str], float]]] = {
        "s": ("min_lengths", int),
        "q": ("quantiles", float),
        "l": ("layers", int),
        "m": ("merged", int),
    }
    given: dict[str, Any] = {}
    for text in texts or ():
        letter, _, values = text.partition("=")
        try:
            name, kind = kinds[letter.strip()]
            given[name] = tuple(kind(value) for value in values.split(","))
        except (KeyError, ValueError) as error:
            raise ConfigError(f"--grid {text}: give s, q, l or m and its values, such as q=0.2,0.3") from error
    return Grid(**given)


def _lines(rows: Sequence[Row], chosen: Row) -> list[str]:
    """The rows from few FLOPs to many, those left out that another one beats; the chosen one is marked."""
    best, lines = float("-inf"), []
    for row in sorted(rows, key=lambda row: (row.flops, -row.change)):
        if row.change > best or row is chosen:
            best = max(best, row.change)
            spent = "" if row.seconds is None else f"{row.seconds:8.3f}"
            mark = "  <- chosen" if row is chosen else ""
            name = "unpruned" if row.configuration is None else str(row.configuration)
            worst = min(row.changes.values())
            lines.append(f"{name:22}{row.flops:8.3f}{spent:>8}{row.change:+10.2f}{worst:+10.2f}{mark}")
    return [f"{'':22}{'FLOPs':>8}{'seconds':>8}{'points':>10}{'worst':>10}", *lines]
