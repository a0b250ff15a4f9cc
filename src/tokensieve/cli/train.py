"""`tokensieve train`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from tokensieve.cli.options import (
    Delimiter,
    Device,
    Json,
    LabelColumn,
    LabelSeparator,
    MaxDocuments,
    MultiLabel,
    OnBadRows,
    PairColumn,
    TextColumn,
    Threads,
    ValidationFraction,
    emit,
    name_of_data,
    numbers,
    prepare,
    training_device,
    training_splits,
)
from tokensieve.cli.recipe_options import (
    Align,
    AttentionDropout,
    Calibrate,
    ClassWeights,
    DistillPooled,
    DistillTemperature,
    DistillWeight,
    Follow,
    FollowRate,
    GradientCheckpointing,
    LoraAlpha,
    LoraDropout,
    LoraRank,
    LoraTargets,
    NewRate,
    Patience,
    RereadLoss,
    Teacher,
    Tighten,
    Unlabelled,
    recipe_option,
)
from tokensieve.cli.reduction_options import (
    AlphaImportant,
    AlphaUnimportant,
    CombinationTokens,
    CombineAssignment,
    CombineCountOffset,
    CombineInit,
    CombineLayer,
    CombineMode,
    CombineNoise,
    CombineScale,
    Heads,
    KeepRatio,
    KeepRatios,
    LeavingKeys,
    MergePruned,
    MinLength,
    MinTokens,
    Pooling,
    Preset,
    ProtectSpecial,
    Pruning,
    RatioScope,
    Reread,
    RereadRatios,
    Score,
    ScoreNoise,
    ScoreQueries,
    ScoreSample,
    Site,
)
from tokensieve.config.old import FIELDS, assignments
from tokensieve.training.settings import base_checkpoint, reduction_settings


def train_command(
    output: Annotated[Path, typer.Option("--output", help="Folder to make for the trained classifier.")],
    model: Annotated[
        str | None,
        typer.Option("--model", help="Checkpoint to start from: folder or hub name (default: all-MiniLM-L6-v2)."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="CSV, TSV, JSONL, JSON (also .gz), Parquet; a folder with train.*, validation.*, test.*; a data set: "
            "folder written by its save_to_disk, or its name (or name:config) on the Hugging Face hub "
            "(default: the embedded corpus, Python's standard library).",
        ),
    ] = None,
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    pair_column: PairColumn = None,
    multi_label: MultiLabel = False,
    label_separator: LabelSeparator = "|",
    delimiter: Delimiter = None,
    on_bad_rows: OnBadRows = "error",
    validation_fraction: ValidationFraction = 0.2,
    max_documents: MaxDocuments = None,
    preset: Preset = None,
    pruning: Pruning = None,
    keep_ratio: KeepRatio = None,
    keep_ratios: KeepRatios = None,
    ratio_scope: RatioScope = None,
    site: Site = None,
    merge_pruned: MergePruned = None,
    heads: Heads = None,
    combine_layer: CombineLayer = None,
    combine_mode: CombineMode = None,
    combination_tokens: CombinationTokens = None,
    protect_special: ProtectSpecial = None,
    pooling: Pooling = None,
    min_length: MinLength = None,
    min_tokens: MinTokens = None,
    alpha_important: AlphaImportant = None,
    alpha_unimportant: AlphaUnimportant = None,
    combine_scale: CombineScale = None,
    combine_noise: CombineNoise = None,
    combine_count_offset: CombineCountOffset = None,
    combine_init: CombineInit = None,
    combine_assignment: CombineAssignment = None,
    score: Score = None,
    leaving_keys: LeavingKeys = None,
    score_noise: ScoreNoise = None,
    score_queries: ScoreQueries = None,
    score_sample: ScoreSample = None,
    reread: Reread = None,
    reread_ratios: RereadRatios = None,
    max_length: Annotated[int, recipe_option("--max-length", help="Truncate documents to this many tokens.")] = 512,
    epochs: Annotated[int, recipe_option("--epochs", help="At most this many; 0 trains nothing.")] = 5,
    learning_rate: Annotated[float, recipe_option("--learning-rate", help="Peak; a 2nd stage has half.")] = 2e-5,
    batch_size: Annotated[int, recipe_option("--batch-size", help="Documents of a forward pass and process.")] = 16,
    accumulation: Annotated[int, recipe_option("--accumulation", help="Forward passes of an optimizer step.")] = 1,
    warmup: Annotated[float, recipe_option("--warmup", help="Share of the steps with a rising learning rate.")] = 0.1,
    weight_decay: Annotated[float, recipe_option("--weight-decay", help="Of AdamW.")] = 0.0,
    clip: Annotated[float, recipe_option("--clip", help="Largest norm of the gradient.")] = 1.0,
    select: Annotated[
        str, recipe_option("--select", help="Best epoch by validation loss, accuracy, f1_macro or f1_micro.")
    ] = "loss",
    patience: Patience = None,
    class_weights: ClassWeights = "none",
    bf16: Annotated[bool, recipe_option("--bf16/--no-bf16", help="Autocast to bfloat16.")] = False,
    attention_dropout: AttentionDropout = None,
    gradient_checkpointing: GradientCheckpointing = False,
    lora_rank: LoraRank = None,
    lora_alpha: LoraAlpha = None,
    lora_dropout: LoraDropout = 0.0,
    lora_targets: LoraTargets = "query,value",
    align: Align = True,
    calibrate: Calibrate = True,
    teacher: Teacher = None,
    distill_weight: DistillWeight = 0.5,
    distill_temperature: DistillTemperature = 2.0,
    distill_pooled: DistillPooled = 0.0,
    tighten: Tighten = 0.0,
    new_rate: NewRate = 1.0,
    follow: Follow = 0,
    follow_rate: FollowRate = 1e-3,
    reread_loss: RereadLoss = None,
    unlabelled: Unlabelled = None,
    seed: Annotated[int, recipe_option("--seed", help="Of new parameters, order, dropout and noise.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUTPUT if it is there, throw an interrupted run away.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run from its last whole checkpoint.")
    ] = False,
    checkpoint_steps: Annotated[
        int | None,
        typer.Option(help="Save a checkpoint every so many steps too, not at the end of each epoch alone."),
    ] = None,
    report_to: Annotated[
        list[str] | None,
        typer.Option("--report-to", help="Tracker, by transformers' name: tensorboard, wandb, mlflow (repeatable)."),
    ] = None,
    run_name: Annotated[str | None, typer.Option("--run-name", help="For the tracker.")] = None,
    device: Device = "auto",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Train a classifier on labelled documents and save it.

    The recipe is the paper's unless changed. Test documents of a folder are only counted: use `tokensieve evaluate`.
    Several processes share the work when `torchrun --nproc-per-node 2 -m tokensieve train ...` starts them.

    Example: tokensieve train --data news/ --preset paper-pfc-7 --keep-ratio 0.9 --output news-classifier
    """
    given = dict(locals())
    prepare(threads, quiet=json)
    from tokensieve.backbones.host import host_config
    from tokensieve.backbones.loading import load_config
    from tokensieve.memory import return_large_blocks
    from tokensieve.runtime.load import resolve_device
    from tokensieve.training.old import RECIPE_FIELDS
    from tokensieve.training.output import check_output
    from tokensieve.training.processes import is_main_process
    from tokensieve.training.recipe import Recipe
    from tokensieve.training.stages import train_in_stages
    from tokensieve.training.trainer import require_accelerate
    from tokensieve.training.trim import TrimMemory

    require_accelerate()
    place = training_device(resolve_device(device))
    trims = place.type == "cpu" and return_large_blocks()
    given["lora_targets"] = tuple(name.strip() for name in lora_targets.split(",") if name.strip())
    for name, shares in (("keep_ratios", keep_ratios), ("reread_ratios", reread_ratios)):
        given[name] = None if shares is None else numbers(f"--{name.replace('_', '-')}", shares)
    options = {field: option for option, field in RECIPE_FIELDS.items()}  # which still have the names of 0.1.0
    recipe = Recipe(**{f.name: given[options.get(f.name, f.name)] for f in dataclasses.fields(Recipe)})
    check_output(output, overwrite, resume)
    base = base_checkpoint(model)
    settings = reduction_settings(
        host_config(load_config(base), base),
        preset,
        assignments({name: given[name] for name in FIELDS if given[name] is not None}),
    )
    reading = {
        "text_column": text_column,
        "label_column": label_column,
        "pair_column": pair_column,
        "multi_label": multi_label,
        "label_separator": label_separator,
        "delimiter": delimiter,
        "policy": on_bad_rows,
        "unlabelled": unlabelled,
    }
    splits = training_splits(data, reading, validation_fraction, recipe.seed)
    if max_documents is not None:
        splits = splits.limited(**dict.fromkeys(("train", "validation", "test", "unlabelled"), max_documents))
    record = train_in_stages(
        base,
        settings,
        splits,
        output,
        recipe,
        device=place,
        overwrite=overwrite,
        resume=resume,
        checkpoint_steps=checkpoint_steps,
        data_name=name_of_data(data),
        callbacks=[TrimMemory()] if trims else [],
        progress=not json,
        report_to=report_to or (),
        run_name=run_name,
        reading=reading
        | {"validation_fraction": validation_fraction, "max_documents": max_documents}
        | {"unlabelled": None if unlabelled is None else name_of_data(unlabelled)},
    )
    if is_main_process():
        rows = {name: tally.to_dict() for name, tally in splits.tallies.items()}  # with examples, for this user alone
        emit(record | {"rows": rows}, _summary(record, output), json)


def _summary(record: dict[str, Any], output: Path) -> list[str]:
    counts, cut, best = record["documents"], record["truncated"], record["best"]
    verb = "trained on" if record["recipe"]["epochs"] else "fitted to"
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
    return [*lines, f"saved in {output}"]
