"""One run of transformers' Trainer by a recipe, on one process or several."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from tokensieve.checks import is_whole
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.errors import MissingExtraError
from tokensieve.training.files.checkpoints import STATE, read_state
from tokensieve.training.loop.best_epoch import EpochZero, best_epoch, check_converged, score_epoch_zero
from tokensieve.training.loop.make_trainer import make_trainer
from tokensieve.training.loop.options import RunOptions
from tokensieve.training.loop.processes import forward_restored
from tokensieve.training.losses.batch import WithTargets
from tokensieve.training.losses.distillation import DistillationLoss
from tokensieve.training.losses.labels import label_loss
from tokensieve.training.recipe import Recipe


def require_accelerate() -> None:
    """Raise MissingExtraError where Trainer could not run."""
    if importlib.util.find_spec("accelerate") is None:
        raise MissingExtraError("training", "accelerate", "train")


@dataclass(frozen=True)
class Trained:
    """The result of training; the model holds the best epoch's weights.

    Attributes:
        history: Trainer's log: losses and metrics by epoch.
        logits: [N, C] float32 of the validation documents, by the best epoch's weights; None without validation.
        truth: their class ids [N], or 0/1 labels [N, C].
    """

    history: list[dict[str, Any]]
    logits: Any = None
    truth: Any = None


def run_trainer(
    model: Any,
    tokenizer: Any,
    train: TokenizedDocuments,
    validation: TokenizedDocuments,
    recipe: Recipe,
    options: RunOptions,
    targets: Mapping[str, Tensor] | None = None,
    *,
    begins_trained: bool = False,
) -> Trained:
    """Train in place; afterwards the model holds the best epoch's weights, or the last one's without validation.

    Args:
        model: one of ours in float32, or a `peft.PeftModel` of one.
        tokenizer: pads the batches.
        train: with labels.
        validation: with labels; may be empty.
        recipe: how.
        options: where to, and what else.
        targets: a teacher's answers to the training documents, see `teacher_targets`.
        begins_trained: the model is a trained classifier, whose weights are kept if no epoch is better (`EpochZero`).

    Raises:
        MissingExtraError: accelerate, or what a tracker needs, is not installed.
        TrainingError: the loss is no finite number any more.
    """
    require_accelerate()
    loss = label_loss(train, recipe, model.num_labels or 0)
    stdout = contextlib.redirect_stdout(sys.stderr)  # stdout is for results
    with _tensorboard_folder(options.logs), forward_restored(model), stdout:
        documents = train if targets is None else WithTargets(train, targets)
        whole_loss = loss if targets is None else DistillationLoss(loss, recipe)
        trainer = make_trainer(model, tokenizer, documents, validation, recipe, options, whole_loss)
        zero = None
        if begins_trained and len(validation):
            # A copy, as accelerate marks what it has evaluated, and would not share its training among processes.
            copied, unobserved = copy.deepcopy(model), options.unobserved()
            judge = make_trainer(copied, tokenizer, train, validation, recipe, unobserved, loss)
            zero = score_epoch_zero(judge, validation)
            check_converged([zero.scores], recipe)
        _train(trainer, recipe, options.resume)
        return _best(trainer, model, validation, recipe, zero)


def _train(trainer: Any, recipe: Recipe, resume: Path | None) -> None:
    """Train all epochs that are left, unless the recipe has none: then only what has a closed form is fitted."""
    if recipe.epochs and resume is not None and stopped_early(resume, recipe):
        finish_from(trainer, resume)
    elif recipe.epochs:
        trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    check_converged(trainer.state.log_history, recipe)


def _best(trainer: Any, model: Any, validation: TokenizedDocuments, recipe: Recipe, zero: EpochZero | None) -> Trained:
    """The history, and the answers of the best epoch, whose weights the model gets."""
    history: list[dict[str, Any]] = [*([] if zero is None else [zero.scores]), *trainer.state.log_history]
    if not len(validation):
        return Trained(history)
    if zero is not None and best_epoch(history, recipe) is zero.scores:
        zero.put_back(model)
        return Trained(history, zero.logits, zero.truth)
    trainer.compute_metrics = None  # only the logits are needed
    predicted = trainer.predict(validation)
    return Trained(history, predicted.predictions, predicted.label_ids)


def run_without_validation(
    model: Any,
    tokenizer: Any,
    train: TokenizedDocuments | WithTargets,
    recipe: Recipe,
    options: RunOptions,
    loss: Callable[..., Tensor],
) -> list[dict[str, Any]]:
    """Train in place ahead of the run that is validated. Nothing is validated, reported or saved.

    Args:
        model: one of ours in float32.
        tokenizer: pads the batches.
        train: documents, with what the loss reads of each.
        recipe: how.
        options: where to.
        loss: takes outputs and labels, if there are any, and what `losses.batch` finds in a batch.

    Returns:
        Trainer's log.

    Raises:
        TrainingError: the loss is no finite number any more.
    """
    nothing = TokenizedDocuments((), tokenizer, recipe.max_length)
    with forward_restored(model), contextlib.redirect_stdout(sys.stderr):
        trainer = make_trainer(model, tokenizer, train, nothing, recipe, options.unobserved(), loss, saves=False)
        trainer.train()
    check_converged(trainer.state.log_history, recipe)
    history: list[dict[str, Any]] = trainer.state.log_history
    return history


def stopped_early(checkpoint: Path, recipe: Recipe) -> bool:
    """Whether patience had run out at this checkpoint; Trainer would train another epoch."""
    states = read_state(checkpoint).get("stateful_callbacks", {}).get("EarlyStoppingCallback", [])
    waited = [
        state.get("attributes", {}).get("early_stopping_patience_counter")
        for state in (states if isinstance(states, list) else [states])
    ]
    return recipe.patience is not None and any(is_whole(epochs, recipe.patience) for epochs in waited)


def finish_from(trainer: Any, checkpoint: Path) -> None:
    """Load the best weights of a run that was over; `find_best` has checked that they are there."""
    from transformers import TrainerState

    trainer.state = TrainerState.load_from_json(str(checkpoint / STATE))
    trainer._load_best_model()


@contextlib.contextmanager
def _tensorboard_folder(folder: Path | None) -> Iterator[None]:
    """Send TensorBoard's files to a folder, by the environment: among the checkpoints they would be removed."""
    name = "TENSORBOARD_LOGGING_DIR"
    if folder is None or name in os.environ:
        yield
        return
    os.environ[name] = str(folder)
    try:
        yield
    finally:
        del os.environ[name]
