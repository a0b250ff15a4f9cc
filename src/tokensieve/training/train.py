"""train(): checkpoint + labelled documents -> a folder with model.safetensors, config, tokenizer, record and card."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from tokensieve.config import ReductionConfig
from tokensieve.data.splits import DataSplits
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.memory import peak_memory_bytes
from tokensieve.training.files import checkpoints
from tokensieve.training.files.output import RECORD, check_output, read_record
from tokensieve.training.files.record import facts_of_run, finished_record, run_identity
from tokensieve.training.files.work_folder import runs_of, save_classifier, work_folder
from tokensieve.training.job import TrainingJob
from tokensieve.training.loop.options import RunOptions
from tokensieve.training.loop.processes import processes
from tokensieve.training.recipe import Recipe
from tokensieve.training.stages import Context, Stage, stages_for
from tokensieve.training.start import read_start, warn_of_base
from tokensieve.training.unlabelled import warn_of_evaluation_documents

logger = logging.getLogger(__name__)


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
    return _run(
        TrainingJob(
            base=base,
            settings=settings,
            splits=splits,
            output=output,
            recipe=recipe or Recipe(),
            device=device or torch.device("cpu"),
            overwrite=overwrite,
            resume=resume,
            keep_finished=keep_finished,
            checkpoint_steps=checkpoint_steps,
            data_name=data_name,
            progress=progress,
            callbacks=callbacks,
            report_to=report_to,
            run_name=run_name,
            reading=reading,
        )
    )


def check_job(job: TrainingJob) -> list[Stage]:
    """The stages of a run. What they need of its arguments is checked, and nothing is read yet.

    Raises:
        TokensieveError: as `train`.
    """
    job.check()
    return stages_for(job)


def _run(job: TrainingJob) -> dict[str, Any]:
    """Check everything, run the stages, and save. Every process calls this, and the first one writes."""
    stages, finished = check_job(job), finished_record(job)
    if finished is None:
        check_output(job.output, job.overwrite, job.resume, (job.base, job.recipe.teacher))
    group = processes(job.device)
    if group.is_main_process:
        warn_of_evaluation_documents(job.splits)
    set_seed(job.recipe.seed)
    start = read_start(job)
    for stage in stages:
        stage.needs_of_start(job, start)
    training, validation = _tokenized(job, start.tokenizer)
    identity = run_identity(job, training, validation, group.num_processes)
    if start.is_trained and group.is_main_process:
        warn_of_base(job, identity["data_digest"])
    if finished is not None:
        checkpoints.check_run(finished, identity)
        return read_record(finished)
    with work_folder(group, job.output, identity, job.resume) as folder:
        if (folder / RECORD).is_file():  # the run was cut short while its folder was put in place
            return read_record(folder / RECORD)
        options = _run_options(job, folder, group.is_main_process)
        context = Context(job, start, training, validation, options, group.is_main_process)
        record = identity | facts_of_run(job, training, validation) | run_stages(stages, context)
        if group.is_main_process:
            save_classifier(folder, start.model, start.tokenizer, record, context.words_first)
        return record


def run_stages(stages: Sequence[Stage], context: Context) -> dict[str, Any]:
    """Run the stages one after the other; afterwards the model is trained, on its device, and calibrated.

    Returns:
        What the stages report, with the "seconds" and the "peak_memory_bytes" (of the process or the device) of those
        that count as training, and the checkpoint that the run was "resumed_from".
    """
    resume = context.options.resume
    record: dict[str, Any] = {"resumed_from": None if resume is None else resume.name, "seconds": 0.0}
    for stage in stages:
        start = time.perf_counter()
        stage.run(context)
        record |= stage.record
        if stage.counts_as_training:
            record["seconds"] += time.perf_counter() - start
            record["peak_memory_bytes"] = peak_memory_bytes(context.job.device)
    return record


def _tokenized(job: TrainingJob, tokenizer: Any) -> list[TokenizedDocuments]:
    """The training and the validation documents as token ids."""
    parts = {"training": job.splits.train, "validation": job.splits.validation}
    length, labels = job.recipe.max_length, job.splits.label_names
    tokenized = {name: TokenizedDocuments(part, tokenizer, length, labels) for name, part in parts.items()}
    for name, documents in tokenized.items():
        logger.info("%s: %d documents, %d truncated to %d tokens", name, len(documents), documents.truncated, length)
    return list(tokenized.values())


def _run_options(job: TrainingJob, folder: Path, is_main_process: bool) -> RunOptions:
    """Where the runs of Trainer go: into the folder in the making."""
    store = folder / checkpoints.FOLDER
    return RunOptions(
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
