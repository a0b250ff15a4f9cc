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
from tokensieve.training.files.output import RECORD, read_record
from tokensieve.training.job import TrainingJob
from tokensieve.training.unlabelled import unlabelled_digest


def run_identity(
    job: TrainingJob, training: TokenizedDocuments, validation: TokenizedDocuments, processes: int
) -> dict[str, Any]:
    """What determines a run: only a run with an equal identity is resumed."""
    splits, recipe = job.splits, job.recipe
    counts = {"train": len(training), "validation": len(validation)}
    return {
        "base": name_of_base(job.base),
        "data": job.data_name,
        "data_digest": data_digest(training, validation),
        "unlabelled_digest": unlabelled_digest(splits),
        "settings": job.settings.to_dict(),
        "recipe": recipe.to_dict() | ({"teacher": name_of_base(recipe.teacher)} if recipe.teacher else {}),
        "labels": list(splits.label_names),
        "multi_label": splits.multi_label,
        "documents": counts | ({"unlabelled": len(splits.unlabelled)} if splits.unlabelled else {}),
        "processes": processes,
    }


def facts_of_run(job: TrainingJob, training: TokenizedDocuments, validation: TokenizedDocuments) -> dict[str, Any]:
    """What the record of a run says beside its identity and its stages: its base, its data, and versions."""
    return {
        "base_is_folder": Path(job.base).is_dir() and name_of_base(job.base) != HUB_NAME,
        "pairs": any(document.pair is not None for document in job.splits.train),
        "reading": None if job.reading is None else dict(job.reading),
        "truncated": {"train": training.truncated, "validation": validation.truncated},
        "rows": {name: row_counts(tally) for name, tally in job.splits.tallies.items()},
        "mean_length": float(training.lengths.double().mean()),
        "started_from": started_from(job.base),
        "versions": versions(),
    }


def finished_record(job: TrainingJob) -> Path | None:
    """The record of an output that is finished and is to be left alone; None if there is work to do."""
    record = Path(job.output) / RECORD
    return record if job.resume and job.keep_finished and record.is_file() else None


def record_of_base(base: str | Path) -> dict[str, Any] | None:
    """The record of the training that made a base; None without one."""
    record = Path(base) / RECORD
    return read_record(record) if record.is_file() else None


def started_from(base: str | Path) -> dict[str, Any] | None:
    """The part of the base's record that is kept: where it began, and how; None without a record."""
    record = record_of_base(base)
    kept = ("base", "base_is_folder", "settings", "recipe", "documents", "best", "seconds", "started_from")
    return None if record is None else {name: value for name, value in record.items() if name in kept}


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
