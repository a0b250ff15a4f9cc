"""What a training is asked for, and what its steps work on: both are checked before any work begins."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tokensieve.cascade.build import EncoderClassifier, stages_of
from tokensieve.config import ReductionConfig
from tokensieve.data.splits import DataSplits
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.data.weights import check_weights
from tokensieve.errors import ConfigError
from tokensieve.model.layer import unfitted
from tokensieve.training.fit_cascade import check_cascade, warn_of_pruned_base
from tokensieve.training.importance import why_no_start
from tokensieve.training.lora import require_peft
from tokensieve.training.output import RECORD, check_output
from tokensieve.training.prepare import start_model
from tokensieve.training.recipe import Recipe
from tokensieve.training.start import check_start, warn_of_other_data, why_no_candidate
from tokensieve.training.trainer import require_accelerate
from tokensieve.training.unlabelled import check_unlabelled, warn_of_evaluation_documents

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingJob:
    """The arguments of `tokensieve.training.train.train`, which describes them."""

    base: str | Path
    settings: ReductionConfig
    splits: DataSplits
    output: str | Path
    recipe: Recipe
    device: torch.device
    overwrite: bool = False
    resume: bool = False
    keep_finished: bool = False
    checkpoint_steps: int | None = None
    data_name: str = ""
    progress: bool = True
    callbacks: Sequence[Any] = ()
    report_to: str | Sequence[str] = ()
    run_name: str | None = None
    reading: Mapping[str, Any] | None = None

    @property
    def finished_record(self) -> Path | None:
        """The record of an output that is finished and is to be left alone; None if there is work to do."""
        record = Path(self.output) / RECORD
        return record if self.resume and self.keep_finished and record.is_file() else None

    def check(self) -> None:
        """Refuse what can be refused before a model is read.

        Raises:
            ConfigError: settings that do not fit together, or an output that is in the way.
            DataError: weights of documents that are no weights, or all 0.
            MissingExtraError: accelerate, or for LoRA PEFT, is not installed.
        """
        require_accelerate()
        if self.recipe.lora_rank is not None:
            require_peft()
        if self.checkpoint_steps is not None and self.checkpoint_steps < 1:
            raise ConfigError(f"checkpoint_steps={self.checkpoint_steps}: give a whole number of 1 or more")
        if self.finished_record is None:
            check_output(self.output, self.overwrite, self.resume, (self.base, self.recipe.teacher))
        documents = len(self.splits.validation)
        self.recipe.check_validation(documents)
        check_cascade(self.settings, self.recipe, documents)
        check_unlabelled(self.recipe, self.splits)
        check_weights(self.splits.train, "training")
        check_weights(self.splits.validation, "validation")

    def warn_of_documents(self) -> None:
        """Warn if scores on the validation or test documents will say little."""
        warn_of_evaluation_documents(self.splits)


@dataclass(frozen=True)
class Prepared:
    """What the steps of a training work on.

    Attributes:
        model: made of the base, with the settings of the job; not trained yet.
        tokenizer: of the base.
        training: the training documents.
        validation: the validation documents; may be empty.
        why_untrained: why the base is no trained classifier of these labels with all parts; None: it is one.
    """

    model: EncoderClassifier
    tokenizer: Any
    training: TokenizedDocuments
    validation: TokenizedDocuments
    why_untrained: str | None

    @property
    def starts_trained(self) -> bool:
        """Whether the base is a trained classifier, whose weights count as epoch 0."""
        return self.why_untrained is None


def prepare(job: TrainingJob) -> Prepared:
    """Build the model and tokenize the documents. New parameters are drawn, so the seed is set before.

    Raises:
        CheckpointError: the base cannot be used.
        ConfigError: settings that do not fit it, or that need a trained classifier which it is not.
        DataError: labels that do not fit.
    """
    splits, recipe = job.splits, job.recipe
    model, tokenizer = start_model(job.base, job.settings, recipe, splits.label_names, splits.multi_label)
    why_untrained = _check_base(job, model)
    for part in (model, *stages_of(model)):
        part.config.text_pairs = any(document.pair is not None for document in splits.train)
    training, validation = (
        TokenizedDocuments(documents, tokenizer, recipe.max_length, splits.label_names)
        for documents in (splits.train, splits.validation)
    )
    for name, documents in (("training", training), ("validation", validation)):
        logger.info(
            "%s: %d documents, %d truncated to %d tokens", name, len(documents), documents.truncated, recipe.max_length
        )
    return Prepared(model, tokenizer, training, validation, why_untrained)


def warn_of_base(job: TrainingJob, digest: str) -> None:
    """Warn if a trained classifier saw other data, whose digest differs, or if its head reads too few tokens."""
    warn_of_other_data(job.base, digest)
    warn_of_pruned_base(job.settings, job.base)


def _check_base(job: TrainingJob, model: EncoderClassifier) -> str | None:
    """Why the base is no trained classifier with all parts; raises ConfigError where one is needed."""
    recipe, reason = job.recipe, why_no_start(job.base, job.splits.label_names)
    if unfitted(model):
        check_start(reason, "prune.score=learned is fitted to a trained classifier of the same labels")
    reason = reason or why_no_candidate(job.base, job.settings)
    if recipe.epochs == 0:
        check_start(reason, "epochs=0 trains nothing and needs a whole trained classifier of the same labels")
    if recipe.feature_epochs:
        wanted = f"feature_epochs={recipe.feature_epochs} needs a whole trained classifier of the same labels"
        check_start(reason, wanted)
    return reason
