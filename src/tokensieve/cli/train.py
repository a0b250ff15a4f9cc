"""`tokensieve train`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tokensieve.cli.data import name_of_data, training_splits
from tokensieve.cli.options import (
    Assignments,
    Device,
    Json,
    Keep,
    LabelColumn,
    MaxDocuments,
    MultiLabel,
    PairColumn,
    Preset,
    TextColumn,
    emit,
    prepare,
    recipe_option,
    training_device,
)
from tokensieve.cli.settings import Reduction, TrainSettings, given_options, train_settings
from tokensieve.cli.signals import terminable
from tokensieve.cli.tune import Budget, Latency, TargetSpeed, goal_of, summary, tuned_record
from tokensieve.settings_paths import Assignment
from tokensieve.training.settings import base_checkpoint

Output = Annotated[Path, typer.Option("--output", help="Folder to make for the trained classifier.")]
Start = Annotated[
    str | None,
    typer.Option("--model", help="Checkpoint to start from: folder or hub name (default: all-MiniLM-L6-v2)."),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="CSV, TSV, JSONL, JSON (also .gz), Parquet; a folder with train.*, validation.*, test.*; a data set: "
        "folder written by its save_to_disk, or its name (or name:config) on the Hugging Face hub "
        "(default: the embedded corpus, Python's standard library).",
    ),
]
Epochs = Annotated[int, recipe_option("--epochs", help="At most this many; 0 trains nothing.")]
LearningRate = Annotated[float, recipe_option("--learning-rate", help="Highest; of two stages the second takes half.")]
Truncation = Annotated[int, recipe_option("--max-length", help="Truncate documents to this many tokens.")]
BatchSize = Annotated[int, recipe_option("--batch-size", help="Documents of a forward pass and process.")]
Seed = Annotated[int, recipe_option("--seed", help="Seed of new parameters, order, dropout, noise.")]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="JSON file of nested settings, named as for --set; --set and options win over it."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run from its last whole checkpoint.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace OUTPUT if it is there, throw an interrupted run away.")
]

FEATURE_EPOCHS = 1
"""Of the presets among which a goal chooses: document vectors are distilled from the dense classifier's."""


def train_command(
    context: typer.Context,
    output: Output,
    model: Start = None,
    data: Data = None,
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    pair_column: PairColumn = None,
    multi_label: MultiLabel = False,
    max_documents: MaxDocuments = None,
    preset: Preset = None,
    keep: Keep = None,
    epochs: Epochs = 5,
    learning_rate: LearningRate = 2e-5,
    max_length: Truncation = 512,
    batch_size: BatchSize = 16,
    seed: Seed = 0,
    assignments: Assignments = None,
    config: Config = None,
    budget: Budget = None,
    target_speed: TargetSpeed = None,
    max_latency_ms: Latency = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Train a classifier on labelled documents and save it.

    The recipe is the paper's unless changed. Test documents of a folder are only counted: use `tokensieve evaluate`.
    Several processes share the work when `torchrun --nproc-per-node 2 -m tokensieve train ...` starts them.

    Every other setting goes by --set: train.X of the recipe (--set train.warmup=0.2), data.X of reading (--set
    data.delimiter=';'), run.X of the run (--set run.threads=2), and the token reduction (--set prune.site=hidden).
    A name that is wrong ends in an error that names those there are; the documentation lists all (make docs).

    With a goal (--budget, --target-speed or --max-latency-ms) a dense classifier is trained, kept as OUTPUT.dense, and
    tuned: presets, types and thresholds are tried, measured on this machine, and chosen (tokensieve tune).

    Example: tokensieve train --data news/ --preset paper-pfc-7 --keep 0.9 --output news-classifier
    """
    settings = train_settings(given_options(context), assignments, config)
    prepare(settings.run["threads"], quiet=json)
    goal = goal_of(budget, target_speed, max_latency_ms)
    if goal is not None:
        _train_to_goal(settings, goal, output, model, data, overwrite=overwrite, resume=resume, as_json=json)
        return
    if settings.reduction.preset == "words":
        record, rows, lines = _train_words(settings, output, model, data, overwrite=overwrite)
        emit(record | {"rows": rows}, lines, json)
        return
    from tokensieve.training.loop.processes import is_main_process
    from tokensieve.training.loop.run import require_accelerate

    require_accelerate()
    record, rows = _train(settings, output, model, data, overwrite=overwrite, resume=resume, progress=not json)
    if is_main_process():
        emit(record | {"rows": rows}, _summary(record, output), json)


def _train_to_goal(
    settings: TrainSettings,
    goal: Any,
    output: Path,
    model: str | None,
    data: str | None,
    *,
    overwrite: bool,
    resume: bool,
    as_json: bool,
) -> None:
    """Train a dense classifier beside the output, and tune it. A dense one that is finished is not trained again."""
    from tokensieve.errors import ConfigError
    from tokensieve.training.dense_first import dense_folder
    from tokensieve.training.files.output import check_output
    from tokensieve.training.loop.processes import processes
    from tokensieve.tune.tune import tune

    if settings.reduction:
        given = settings.reduction.preset or "reduction settings"
        raise ConfigError(f"{given} with a goal: the goal chooses among presets; give one or the other")
    if settings.recipe.words_first is not None or settings.recipe.max_expected_loss is not None:
        raise ConfigError("train.words_first and train.max_expected_loss are chosen by the goal: leave them out")
    check_output(output, overwrite)
    dense, place = dense_folder(output), training_device_of(settings)
    plain = replace(settings, reduction=Reduction("dense", [Assignment(("pooling",), "mean")]))
    _train(plain, dense, model, data, overwrite=overwrite, resume=resume, progress=not as_json, keep_finished=resume)
    if not processes(place).is_main_process:
        return
    splits = training_splits(data, settings.data, settings.recipe.seed)
    options: dict[str, Any] = {"overwrite": overwrite, "progress": not as_json}
    with terminable():
        done = tune(dense, splits, output, goal, feature_epochs=FEATURE_EPOCHS, device=place, **options)
    rows = {name: tally.to_dict() for name, tally in splits.tallies.items()}
    emit(tuned_record(done, output) | {"dense": str(dense), "rows": rows}, summary(done, output), as_json)


def _train_words(
    settings: TrainSettings, output: Path, model: str | None, data: str | None, *, overwrite: bool
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """The record, what became of the rows of each file, and lines for people."""
    from tokensieve.errors import ConfigError
    from tokensieve.training.files.output import check_output
    from tokensieve.training.words import check_recipe, train_words, words_summary

    if model is not None or settings.reduction.assignments:
        given = f"--model {model}" if model is not None else settings.reduction.assignments[0].name
        raise ConfigError(f"{given} with preset 'words': a bag of words has no encoder; leave it out")
    check_recipe(settings.recipe)
    check_output(output, overwrite)
    splits = training_splits(data, settings.data, settings.recipe.seed)
    record = train_words(
        splits,
        output,
        settings.recipe,
        overwrite=overwrite,
        data_name=name_of_data(data),
        reading=_reading(settings.data),
    )
    rows = {name: tally.to_dict() for name, tally in splits.tallies.items()}
    return record, rows, words_summary(record | {"rows": rows}, output)


def training_device_of(settings: TrainSettings) -> Any:
    """The device that the run trains on."""
    from tokensieve.runtime.load import resolve_device

    return training_device(resolve_device(settings.run["device"]))


def _train(
    settings: TrainSettings,
    output: Path,
    model: str | None,
    data: str | None,
    *,
    overwrite: bool,
    resume: bool,
    progress: bool,
    keep_finished: bool = False,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The record of the run, and what became of the rows of each file, with examples, for this user alone."""
    from tokensieve.backbones.loading import load_config
    from tokensieve.backbones.source import source_config
    from tokensieve.memory import return_large_blocks
    from tokensieve.training.dense_first import train_dense_first
    from tokensieve.training.files.output import check_output
    from tokensieve.training.loop.trim_memory import TrimMemory

    place = training_device_of(settings)
    trims = place.type == "cpu" and return_large_blocks()
    if not keep_finished:
        check_output(output, overwrite, resume)
    base = base_checkpoint(model)
    reduction = settings.reduction.settings(source_config(load_config(base), base))
    splits = training_splits(data, settings.data, settings.recipe.seed)
    record = train_dense_first(
        base,
        reduction,
        splits,
        output,
        settings.recipe,
        device=place,
        overwrite=overwrite,
        resume=resume,
        keep_finished=keep_finished,
        checkpoint_steps=settings.run["checkpoint_steps"],
        data_name=name_of_data(data),
        callbacks=[TrimMemory()] if trims else [],
        progress=progress,
        report_to=settings.run["report_to"],
        run_name=settings.run["run_name"],
        reading=_reading(settings.data),
    )
    return record, {name: tally.to_dict() for name, tally in splits.tallies.items()}


def _reading(data: dict[str, Any]) -> dict[str, Any]:
    """The options by which the data was read, for the record: without the folders of this machine."""
    unlabelled = data["unlabelled"]
    named = {("policy" if name == "on_bad_rows" else name): value for name, value in data.items()}
    return named | {"unlabelled": None if unlabelled is None else name_of_data(unlabelled)}


def _summary(record: dict[str, Any], output: Path) -> list[str]:
    counts, cut, best = record["documents"], record["truncated"], record["best"]
    verb = "trained on" if record["recipe"]["epochs"] or record["gates"] else "fitted to"
    lines = [
        f"{verb} {counts['train']} documents ({cut['train']} truncated) of {len(record['labels'])} classes "
        f"in {record['seconds']:.0f} s",
    ]
    for name, rows in record["rows"].items():
        if rows["rejected"]:
            lines.append(f"{name}: {rows['rejected']} of {rows['read']} rows left out: {rows['reasons']}")
    if best is not None:
        which = f"{best['epoch']:g}" if best["epoch"] else "0 (the start)"
        lines.append(
            f"best epoch {which}, on {counts['validation']} validation documents: "
            f"loss {best['eval_loss']:.4f}, accuracy {best['eval_accuracy']:.4f}, macro F1 {best['eval_f1_macro']:.4f}"
        )
    if (again := record["cascade"]) is not None:
        share, below = f"{again['share']:.1%}", f"{again['below']:.4f}"
        lines.append(f"documents of a confidence below {below}, {share}, are deferred to the second stage")
    if (found := record["calibration"]) is not None:
        lines.append(
            f"calibrated by temperature {found['temperature']:.3f}: expected calibration error "
            f"{found['ece_before']:.4f} before, {found['ece_after']:.4f} after"
        )
    from tokensieve.training.fits.words_first import first_stage_lines
    from tokensieve.training.floors.report import floor_lines

    compared = [*first_stage_lines(record.get("words_first")), *floor_lines(record.get("floors"))]
    return [*lines, *compared, f"saved in {output}"]
