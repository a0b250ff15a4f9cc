"""train(): checkpoint + labelled documents -> a folder with model.safetensors, config, tokenizer, record and card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from tokensieve.config import ReductionConfig
from tokensieve.data.splits import DataSplits
from tokensieve.training import checkpoints
from tokensieve.training.job import Prepared, TrainingJob, prepare, warn_of_base
from tokensieve.training.output import RECORD, read_record
from tokensieve.training.processes import processes
from tokensieve.training.recipe import Recipe
from tokensieve.training.record import run_identity, training_record
from tokensieve.training.steps import run_steps
from tokensieve.training.trainer import RunOptions
from tokensieve.training.work_folder import runs_of, save_classifier, work_folder


def train(
    base: str | Path,
    settings: ReductionConfig,
    splits: DataSplits,
    output: str | Path,
    recipe: Recipe | None = None,
    *,
    device: torch.device | None = None,
    overwrite: bool = False,
    resume: bool = False,
    keep_finished: bool = False,
    checkpoint_steps: int | None = None,
    data_name: str = "",
    progress: bool = True,
    callbacks: Sequence[Any] = (),
    report_to: str | Sequence[str] = (),
    run_name: str | None = None,
    reading: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train a classifier and save it; docs/explanation/training.md describes the steps.

    Args:
        base: folder or hub name of the checkpoint to start from.
        settings: the reduction settings.
        splits: training and validation documents, and those without labels; test documents are not read.
        output: folder to make; work in progress lies in `output`.part.
        recipe: how to train; None: the paper's recipe.
        device: None: CPU.
        overwrite: replace `output` if it exists, and discard an interrupted run.
        resume: continue an interrupted run from its last complete checkpoint; without one start from the beginning.
        keep_finished: with `resume`, leave an `output` alone that the same run has finished, and return its record.
        checkpoint_steps: save a checkpoint every this many optimizer steps, beside those at the end of each epoch.
        data_name: name of the data in the record.
        progress: show progress bars on stderr.
        callbacks: for transformers' Trainer.
        report_to: trackers by Trainer's names, such as "tensorboard" (whose files go to `output`.runs).
        run_name: for the trackers.
        reading: how `splits` were read, for the card: arguments of `load_splits`, and `max_documents`.

    Returns:
        The record that `training.json` holds: recipe, settings, counts, validation scores by epoch, versions.

    Raises:
        ConfigError: `output` exists, settings do not fit the model, or the run is not the interrupted one.
        CheckpointError: `base` cannot be used.
        DataError: labels do not fit, or the best checkpoint of the interrupted run is missing or incomplete.
        MissingExtraError: accelerate, or for LoRA PEFT, is not installed.
        TrainingError: training diverged.
    """
    arguments = locals()  # named as the fields of TrainingJob
    arguments |= {"recipe": recipe or Recipe(), "device": device or torch.device("cpu")}
    return _run(TrainingJob(**arguments))


def _run(job: TrainingJob) -> dict[str, Any]:
    """Check everything, run the steps, and save. Every process calls this, and the first one writes."""
    job.check()
    group = processes(job.device)
    if group.is_main_process:
        job.warn_of_documents()
    set_seed(job.recipe.seed)
    prepared = prepare(job)
    identity = run_identity(job, prepared, group.num_processes)
    if prepared.starts_trained and group.is_main_process:
        warn_of_base(job, identity["data_digest"])
    if (finished := job.finished_record) is not None:
        checkpoints.check_run(finished, identity)
        return read_record(finished)
    with work_folder(group, job.output, identity, job.resume) as folder:
        if (folder / RECORD).is_file():  # the run was cut short while its folder was put in place
            return read_record(folder / RECORD)
        return _train_and_save(job, prepared, identity, folder, group.is_main_process)


def _train_and_save(
    job: TrainingJob, prepared: Prepared, identity: dict[str, Any], folder: Path, is_main_process: bool
) -> dict[str, Any]:
    store = folder / checkpoints.FOLDER
    options = RunOptions(
        checkpoints=store,
        device=job.device,
        checkpoint_steps=job.checkpoint_steps,
        resume=checkpoints.last_complete(store),
        progress=job.progress and is_main_process,
        callbacks=job.callbacks,
        report_to=(job.report_to,) if isinstance(job.report_to, str) else job.report_to,
        logs=runs_of(job.output),
        run_name=job.run_name,
    )
    steps = run_steps(job, prepared, options)
    record = training_record(job, prepared, identity, options, steps)
    if is_main_process:
        first = None if steps.words_first is None else steps.words_first.words
        save_classifier(folder, prepared.model, prepared.tokenizer, record, first)
    return record
