"""`tokensieve tune`, and `train` with a goal; `tune_tasks.py` has `tune --tasks`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokensieve.cli.data import name_of_data, training_splits
from tokensieve.cli.options import (
    Assignments,
    Device,
    Json,
    LabelColumn,
    MaxDocuments,
    PairColumn,
    TextColumn,
    Threads,
    emit,
    prepare,
    training_device,
)
from tokensieve.cli.settings import given_options, train_settings
from tokensieve.cli.signals import terminable
from tokensieve.cli.tune_tasks import (
    BY,
    OF_TASKS,
    SHOTS,
    TOLERANCE,
    By,
    EveryTask,
    Grids,
    MaxLength,
    Shots,
    Tasks,
    Tolerance,
    search_tasks,
)
from tokensieve.errors import ConfigError

if TYPE_CHECKING:
    from tokensieve.tune.tune import Tuned

GOAL = "Goal"
_NOT_OF_TASKS = ("data", "budget", "target_speed", "max_latency_ms", "dense", "feature_epochs", "pair_column", "device")
"""Options that say nothing to a search on few-shot tasks."""

Folder = Annotated[
    Path | None, typer.Option("--model", help="Folder of a classifier that 'tokensieve train' made, float32.")
]
Output = Annotated[Path, typer.Option("--output", help="Folder to make.")]
Data = Annotated[str | None, typer.Option("--data", help="The documents that it was trained on, as for train.")]
Dense = Annotated[
    Path | None,
    typer.Option("--dense", help="Dense classifier to compare with (default: MODEL if it is dense, else MODEL.dense)."),
]
Budget = Annotated[
    float | None,
    typer.Option(
        "--budget",
        help="Points of the score that may be lost against the dense encoder, by the lower end of the 95 % interval.",
        rich_help_panel=GOAL,
    ),
]
TargetSpeed = Annotated[
    str | None,
    typer.Option(
        "--target-speed",
        help="Times the dense encoder's documents per second on this machine, such as 10x.",
        metavar="TIMES",
        rich_help_panel=GOAL,
    ),
]
Latency = Annotated[
    float | None,
    typer.Option(
        "--max-latency-ms",
        help="Milliseconds of a document that is read alone, in 95 of 100 cases.",
        rich_help_panel=GOAL,
    ),
]
FeatureEpochs = Annotated[
    int,
    typer.Option("--feature-epochs", help="Distil document vectors into the presets' norms and biases; takes longer."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT if it is there.")]


def tune_command(
    context: typer.Context,
    output: Output,
    model: Folder = None,
    data: Data = None,
    budget: Budget = None,
    target_speed: TargetSpeed = None,
    max_latency_ms: Latency = None,
    dense: Dense = None,
    feature_epochs: FeatureEpochs = 0,
    tasks: Tasks = None,
    shots: Shots = SHOTS,
    tolerance: Tolerance = TOLERANCE,
    every_task: EveryTask = False,
    by: By = BY,
    grid: Grids = None,
    max_length: MaxLength = None,
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    pair_column: PairColumn = None,
    max_documents: MaxDocuments = None,
    assignments: Assignments = None,
    device: Device = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Choose presets, types and thresholds for a trained classifier by a goal, without training on labels.

    Candidates are the dense classifier, presets made of it, int8 weights, and a bag of words ahead of each. All are
    timed on this machine and compared with the dense classifier on the validation documents. The table has those that
    no other one beats. OUTPUT gets the chosen one with its frontier (frontier.json, frontier.svg), along which --speed
    of predict, evaluate and serve moves. Without a goal the budget is 0 points. How the data is read goes by
    --set data.X.

    With --tasks it searches something else: one setting of quantile pruning for the frozen vectors of many few-shot
    tasks. OUTPUT is then a JSON file, which 'tokensieve encode --config' takes for tasks that the search did not see.

    Example: tokensieve tune --model news.dense --data news/ --output news --target-speed 10x
    """
    options = given_options(context)
    given = {name: value for name, value in options.items() if name not in ("threads", "max_length")}
    settings = train_settings(given, assignments, None)
    prepare(threads, quiet=json)
    if foreign := [text for text in assignments or () if not text.strip().startswith("data.")]:
        raise ConfigError(f"--set {foreign[0]}: tune takes data.X alone, as nothing is trained on labels: leave it out")
    _refuse_mixed(options)
    named = None if model is None else str(model)
    if tasks:
        how = {name: context.params[name] for name in OF_TASKS}
        with terminable():
            search_tasks(tasks, named, output, settings.data, how, overwrite=overwrite, json=json)
        return
    if model is None:
        raise ConfigError("name the classifier to tune (--model), or few-shot tasks to search on (--tasks)")
    goal = goal_of(budget, target_speed, max_latency_ms, default=0.0)
    done = _tuned(model, output, goal, data, settings.data, device, not json, dense, feature_epochs, overwrite)
    emit({"model": named, "data": name_of_data(data), **tuned_record(done, output)}, summary(done, output), json)


def _refuse_mixed(options: dict[str, Any]) -> None:
    """Refuse options of one search that are given for the other."""
    of_tasks = [name for name in OF_TASKS if name in options]
    if "tasks" not in options and of_tasks:
        raise ConfigError(f"--{of_tasks[0].replace('_', '-')} is for few-shot tasks: give --tasks, or leave it out")
    if "tasks" in options and (others := [name for name in _NOT_OF_TASKS if name in options]):
        raise ConfigError(f"--{others[0].replace('_', '-')} is for a trained classifier: leave it out with --tasks")


def _tuned(
    model: Path,
    output: Path,
    goal: Any,
    data: str | None,
    reading: dict[str, Any],
    device: str,
    progress: bool,
    dense: Path | None,
    feature_epochs: int,
    overwrite: bool,
) -> Tuned:
    """What `tokensieve.tune.tune.tune` makes of a trained classifier."""
    from tokensieve.backbones.loading import load_config
    from tokensieve.runtime.load import resolve_device
    from tokensieve.tune.tune import tune

    place = training_device(resolve_device(device))
    read = reading | {"multi_label": getattr(load_config(model), "is_multi_label", False)}
    splits = training_splits(data, read, _seed_of(model))
    options: dict[str, Any] = {"device": place, "overwrite": overwrite, "progress": progress}
    with terminable():
        return tune(model, splits, output, goal, dense=dense, feature_epochs=feature_epochs, **options)


def goal_of(
    budget: float | None, target_speed: str | None, max_latency_ms: float | None, default: float | None = None
) -> Any:
    """The goal that options ask for; the default is a budget; None: no goal is asked for.

    Raises:
        ConfigError: several goals, or one that is out of range.
    """
    from tokensieve.runtime.frontier import times
    from tokensieve.tune.goal import Goal

    if budget is None and target_speed is None and max_latency_ms is None:
        return None if default is None else Goal(budget=default)
    return Goal(budget, None if target_speed is None else times(target_speed), max_latency_ms)


def tuned_record(done: Tuned, output: Path) -> dict[str, Any]:
    """What was measured and chosen, for machines."""
    return {
        "output": str(output),
        "chosen": done.chosen,
        "met": done.met,
        "candidates": list(done.candidates),
        "table": [{"name": entry.name, **entry.point.to_dict()} for entry in done.entries],
        "frontier": [point.to_dict() for point in done.frontier.points],
        "point": done.frontier.chosen,
        "measured": dict(done.frontier.measured),
    }


def summary(done: Tuned, output: Path) -> list[str]:
    """What was measured and chosen, for people."""
    from tokensieve.tune.plot import table

    frontier = done.frontier
    point, measured = frontier.points[frontier.chosen], frontier.measured
    lines = [
        f"on {measured['documents']} validation documents; the dense encoder: {measured['metric'].replace('_', ' ')} "
        f"{measured['dense_score']:.4f}, {measured['dense_documents_per_second']:.1f} documents/s",
        *table([(entry.name, entry.point) for entry in done.entries]),
        "",
        f"asked for: {measured['goal']}",
    ]
    if not done.met:
        lines.append("no candidate meets it; this one comes nearest:")
    return [
        *lines,
        *table([(done.chosen, point)]),
        f"saved in {output}, with {len(frontier.points)} points for --speed",
    ]


def _seed_of(model: Path) -> int:
    """The seed by which the run of a classifier divided its documents; 0 without its record."""
    from tokensieve.training.files.output import record_in

    return int(record_in(model).get("recipe", {}).get("seed", 0))
