"""The record of a run, `training.json`: what determines the run, what became of it, and what it was made with."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Any

import torch
import transformers

from tokensieve.backbones.default_model import HUB_NAME, name_of_base
from tokensieve.data.documents import Tally
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.training.job import Prepared, TrainingJob
from tokensieve.training.start import first_stage
from tokensieve.training.steps import StepRecords
from tokensieve.training.trainer import RunOptions
from tokensieve.training.unlabelled import unlabelled_digest


def run_identity(job: TrainingJob, prepared: Prepared, processes: int) -> dict[str, Any]:
    """What determines a run: only a run with an equal identity is resumed."""
    splits, recipe = job.splits, job.recipe
    counts = {"train": len(prepared.training), "validation": len(prepared.validation)}
    return {
        "base": name_of_base(job.base),
        "data": job.data_name,
        "data_digest": data_digest(prepared.training, prepared.validation),
        "unlabelled_digest": unlabelled_digest(splits),
        "settings": job.settings.to_dict(),
        "recipe": recipe.to_dict() | ({"teacher": name_of_base(recipe.teacher)} if recipe.teacher else {}),
        "labels": list(splits.label_names),
        "multi_label": splits.multi_label,
        "documents": counts | ({"unlabelled": len(splits.unlabelled)} if splits.unlabelled else {}),
        "processes": processes,
    }


def training_record(
    job: TrainingJob, prepared: Prepared, identity: dict[str, Any], options: RunOptions, steps: StepRecords
) -> dict[str, Any]:
    """The record of a finished run: its identity, its data, what each step reports, and versions."""
    training, validation = prepared.training, prepared.validation
    return {
        **identity,
        "base_is_folder": Path(job.base).is_dir() and name_of_base(job.base) != HUB_NAME,
        "pairs": prepared.model.config.text_pairs,
        "reading": None if job.reading is None else dict(job.reading),
        "truncated": {"train": training.truncated, "validation": validation.truncated},
        "rows": {name: row_counts(tally) for name, tally in job.splits.tallies.items()},
        "mean_length": float(training.lengths.double().mean()),
        "seconds": steps.seconds,
        "importance_r2": steps.fitted.importance_r2,
        "feature_distillation": steps.fitted.feature_distillation,
        "head_refit": steps.fitted.head_refit,
        "started_from": first_stage(job.base),
        "teacher_seconds": steps.teacher_seconds,
        "resumed_from": None if options.resume is None else options.resume.name,
        "peak_memory_bytes": steps.peak_memory_bytes,
        "history": steps.history,
        "best": steps.best,
        "cascade": steps.cascade,
        "calibration": steps.calibration,
        "floors": steps.floors,
        "words_first": None if steps.words_first is None else steps.words_first.report,
        "versions": versions(),
    }


def row_counts(tally: Tally) -> dict[str, Any]:
    """What became of the rows, without the examples: the record is published, and they quote the user's data."""
    return {name: value for name, value in tally.to_dict().items() if name != "examples"}


def data_digest(*parts: TokenizedDocuments) -> str:
    """A hash of the tokens and labels, in their order: what tells one run's data from another's."""
    return hashlib.sha256("".join(part.digest() for part in parts).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Versions of what the result depends on."""
    from tokensieve.version import __version__

    return {
        "tokensieve": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
