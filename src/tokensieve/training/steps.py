"""The steps of a training, in their order: fit the score, distil features, refit the head, fine-tune, fit the cascade,
calibrate, put a bag of words ahead.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tokensieve.memory import peak_memory_bytes
from tokensieve.training.best import best_epoch
from tokensieve.training.calibrate import calibrate_model
from tokensieve.training.distill import teacher_targets
from tokensieve.training.first_stage import FirstStage, fit_first_stage
from tokensieve.training.fit_bag import fit_bag
from tokensieve.training.fit_cascade import fit_to_validation
from tokensieve.training.fit_to_base import FittedToBase, fit_to_base
from tokensieve.training.floors import fit_floors, static_vectors
from tokensieve.training.job import Prepared, TrainingJob
from tokensieve.training.lora import merged
from tokensieve.training.prepare import fit_for_training, keep_calibration
from tokensieve.training.processes import processes
from tokensieve.training.trainer import RunOptions, Trained, run_trainer


@dataclass(frozen=True)
class StepRecords:
    """What the steps of a training report; None for a step that was left out.

    Attributes:
        fitted: as `fit_to_base` returns it.
        teacher_seconds: time in which the teacher read the training documents.
        history: Trainer's log, ahead of it the scores of a trained start.
        best: the entry of the history whose weights were kept.
        cascade: as `fit_to_validation` returns it.
        calibration: as `Calibration.to_dict` gives it.
        seconds: time of all steps but calibration.
        peak_memory_bytes: of the process or the device, before calibration.
        floors: as `fit_floors` returns it.
        words_first: the bag of words ahead of the model, and its report; None: there is none.
    """

    fitted: FittedToBase
    teacher_seconds: float | None
    history: list[dict[str, Any]]
    best: dict[str, Any] | None
    cascade: dict[str, float] | None
    calibration: dict[str, Any] | None
    seconds: float
    peak_memory_bytes: int | None
    floors: dict[str, Any] | None
    words_first: FirstStage | None


def run_steps(job: TrainingJob, prepared: Prepared, options: RunOptions) -> StepRecords:
    """Run all steps; afterwards the model is trained, on its device, and calibrated.

    Raises:
        DataError: no document to fit a learned score to, or no word for a bag of words.
        TrainingError: training diverged.
    """
    writes = processes(job.device).is_main_process
    static = static_vectors(job, prepared) if writes else None
    # Ahead of the training: a bag of words that cannot be fitted is told before hours have passed.
    words = fit_bag(job.splits, job.recipe) if writes and job.recipe.words_first is not None else None
    start = time.perf_counter()
    recipe, model, tokenizer = job.recipe, prepared.model, prepared.tokenizer
    fitted = fit_to_base(job, prepared, options)
    trained, teacher_seconds = _fine_tune(job, prepared, options)
    torch.nn.Module.to(model, device=job.device)  # a second stage was not trained
    if recipe.epochs == 0:
        keep_calibration(model, job.base)
    best = best_epoch(trained.history, recipe)
    changed = best is not None and best["epoch"] > 0
    cascade, trained = fit_to_validation(
        model, trained, prepared.validation, tokenizer, recipe, job.splits, trained=changed
    )
    seconds, peak = time.perf_counter() - start, peak_memory_bytes(job.device)
    calibration = None
    if recipe.calibrate:
        calibration = calibrate_model(model.config, trained.logits, trained.truth, prepared.validation.weights)
    return StepRecords(
        fitted=fitted,
        teacher_seconds=teacher_seconds,
        history=trained.history,
        best=best,
        cascade=cascade,
        seconds=seconds,
        peak_memory_bytes=peak,
        calibration=calibration,
        floors=fit_floors(job, prepared, trained.logits, static, words) if writes else None,
        words_first=fit_first_stage(job, prepared, words, trained) if words is not None else None,
    )


def _fine_tune(job: TrainingJob, prepared: Prepared, options: RunOptions) -> tuple[Trained, float | None]:
    """Train on labels, and on a teacher's answers where there is one; the result, and the teacher's seconds."""
    recipe = job.recipe
    trainable = fit_for_training(prepared.model, recipe)
    targets, seconds = _ask_teacher(job)
    trained = run_trainer(
        trainable,
        prepared.tokenizer,
        prepared.training,
        prepared.validation,
        recipe,
        options,
        targets,
        begins_trained=prepared.starts_trained,
    )
    if recipe.lora_rank is not None:
        merged(trainable)  # into the model that it was put around
    return trained, seconds


def _ask_teacher(job: TrainingJob) -> tuple[dict[str, Tensor] | None, float | None]:
    """The teacher's answers to the training documents, and the seconds that they took."""
    if job.recipe.teacher is None:
        return None, None
    start, targets = time.perf_counter(), None
    if job.recipe.epochs:
        targets = teacher_targets(job.recipe, job.splits.train, job.splits.label_names, job.device)
    return targets, time.perf_counter() - start
