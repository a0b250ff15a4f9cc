"""One run of transformers' Trainer by a recipe, on one process or several."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tokensieve.checks import is_whole
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.errors import ConfigError, MissingExtraError
from tokensieve.metrics import accuracy_and_f1, multi_label_scores
from tokensieve.training.best import best_epoch, check_converged, score_start
from tokensieve.training.checkpoints import STATE, read_state
from tokensieve.training.distill import DistillationLoss, TeacherLoss, WithTargets
from tokensieve.training.lora import new_parameters
from tokensieve.training.loss import balanced_positives, balanced_weights, step_loss
from tokensieve.training.order import EpochOrder, PaddedDocuments, SetEpoch
from tokensieve.training.processes import forward_restored, processes
from tokensieve.training.pruning_warmup import PruningWarmup
from tokensieve.training.recipe import Recipe


def require_accelerate() -> None:
    """Raise MissingExtraError where Trainer could not run."""
    if importlib.util.find_spec("accelerate") is None:
        raise MissingExtraError("training", "accelerate", "train")


@dataclass(frozen=True)
class RunOptions:
    """Where a run goes and what it reports; none of it changes the weights.

    Attributes:
        checkpoints: folder for Trainer's checkpoints.
        device: CPU or CUDA.
        checkpoint_steps: save one every this many steps, beside one at the end of each epoch; None: only the latter.
        resume: go on from this checkpoint.
        progress: show bars and the log on stderr.
        callbacks: for Trainer.
        report_to: trackers by Trainer's names, such as "tensorboard".
        logs: folder for TensorBoard's files.
        run_name: for the trackers.
    """

    checkpoints: Path
    device: torch.device
    checkpoint_steps: int | None = None
    resume: Path | None = None
    progress: bool = True
    callbacks: Sequence[Any] = ()
    report_to: Sequence[str] = ()
    logs: Path | None = None
    run_name: str | None = None

    def unobserved(self) -> RunOptions:
        """The same for a Trainer that reports to nobody, saves nothing between epochs and resumes nothing."""
        return replace(self, callbacks=(), report_to=(), resume=None, checkpoint_steps=None)


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
        begins_trained: the model is a trained classifier, whose weights are kept if no epoch is better, see `Start`.

    Raises:
        MissingExtraError: accelerate, or what a tracker needs, is not installed.
        TrainingError: the loss is no finite number any more.
    """
    require_accelerate()
    stdout = contextlib.redirect_stdout(sys.stderr)  # stdout is for results
    with _tensorboard_folder(options.logs), forward_restored(model), stdout:
        trainer = make_trainer(model, tokenizer, train, validation, recipe, options, targets)
        start = None
        if begins_trained and len(validation):
            # A copy, as accelerate marks what it has evaluated, and would not share its training among processes.
            judge = make_trainer(copy.deepcopy(model), tokenizer, train, validation, recipe, options.unobserved())
            start = score_start(judge, validation)
            check_converged([start.scores], recipe)
        if recipe.epochs == 0:
            pass  # only what has a solution in closed form is fitted, by the caller
        elif options.resume is not None and stopped_early(options.resume, recipe):
            finish_from(trainer, options.resume)
        else:
            trainer.train(resume_from_checkpoint=None if options.resume is None else str(options.resume))
        check_converged(trainer.state.log_history, recipe)
        history: list[dict[str, Any]] = [*([] if start is None else [start.scores]), *trainer.state.log_history]
        if not len(validation):
            return Trained(history)
        if start is not None and best_epoch(history, recipe) is start.scores:
            start.put_back(model)
            return Trained(history, start.logits, start.truth)
        trainer.compute_metrics = None  # only the logits are needed
        predicted = trainer.predict(validation)
    return Trained(history, predicted.predictions, predicted.label_ids)


def make_trainer(
    model: Any,
    tokenizer: Any,
    train: TokenizedDocuments,
    validation: TokenizedDocuments,
    recipe: Recipe,
    options: RunOptions,
    targets: Mapping[str, Tensor] | None = None,
    teacher_loss: TeacherLoss | None = None,
) -> Any:
    """The Trainer of a run; arguments as in `run_trainer`. With a `teacher_loss` in place of the recipe's loss it saves
    no checkpoints.
    """
    from transformers import DataCollatorWithPadding, PrinterCallback
    from transformers.trainer_utils import SaveStrategy

    from tokensieve.training.tokensieve_trainer import TokensieveTrainer

    validates, multi_label = len(validation) > 0, train.label_matrix is not None
    weights = loss_weights(train, recipe, model.num_labels or 0)
    number = processes(options.device).num_processes
    order = EpochOrder(len(train), recipe.batch_size * number if number > 1 else 1, recipe.seed)
    loss = step_loss(weights, multi_label)
    arguments = training_arguments(recipe, len(order), number, validates, options)
    arguments.remove_unused_columns = all(each is None for each in (targets, train.weights, validation.weights))
    if teacher_loss is not None:
        arguments.save_strategy = SaveStrategy.NO
    elif targets is not None:
        teacher_loss = DistillationLoss(loss, recipe)
    try:
        trainer = TokensieveTrainer(
            order=order,
            model=model,
            new_parameters=new_parameters(model),
            head_lr_multiplier=recipe.head_lr_multiplier,
            validation_weights=validation.weights,
            args=arguments,
            train_dataset=PaddedDocuments(train if targets is None else WithTargets(train, targets), len(train)),
            eval_dataset=validation if validates else None,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=partial(_scores, validation.weights),
            compute_loss_func=teacher_loss or loss,
            callbacks=_callbacks(model, recipe, options, order, validates),
        )
    except (ImportError, RuntimeError, ValueError) as error:
        if options.report_to and any(name in str(error) for name in ("Callback", "not supported", *options.report_to)):
            raise ConfigError(
                f"report_to={list(options.report_to)}: {error}; install the tracker, or leave report_to out"
            ) from error
        raise
    if not options.progress:
        trainer.remove_callback(PrinterCallback)  # which takes the bars' place
    return trainer


def _callbacks(model: Any, recipe: Recipe, options: RunOptions, order: EpochOrder, validates: bool) -> list[Any]:
    from transformers import EarlyStoppingCallback

    from tokensieve.training.tokensieve_trainer import CheckpointEverySteps

    callbacks: list[Any] = [SetEpoch(order), *options.callbacks]
    if recipe.pruning_warmup:
        callbacks.append(PruningWarmup(model, recipe.pruning_warmup))
    if recipe.patience is not None and validates:
        callbacks.append(EarlyStoppingCallback(recipe.patience))
    if options.checkpoint_steps is not None:
        callbacks.append(CheckpointEverySteps(options.checkpoint_steps))
    return callbacks


def loss_weights(train: TokenizedDocuments, recipe: Recipe, classes: int) -> Tensor | None:
    """Weights of the classes, or of each label's positive documents, for class_weights="balanced"."""
    if recipe.class_weights == "none":
        return None
    if train.label_matrix is not None:
        return balanced_positives(train.label_matrix, train.weights)
    return balanced_weights(train.class_ids, classes, train.weights)


def training_arguments(recipe: Recipe, documents: int, number: int, validates: bool, options: RunOptions) -> Any:
    """The recipe as transformers' TrainingArguments, for an epoch of `documents` on `number` processes."""
    from transformers import TrainingArguments

    steps = math.ceil(math.ceil(documents / (recipe.batch_size * number)) / recipe.accumulation) * recipe.epochs
    metric = "eval_loss" if recipe.select == "loss" else f"eval_{recipe.select}"
    on_cpu = options.device.type == "cpu"
    arguments = TrainingArguments(
        output_dir=str(options.checkpoints),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=2 * recipe.batch_size,
        gradient_accumulation_steps=recipe.accumulation,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=math.ceil(recipe.warmup * steps),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.clip,
        optim="adamw_torch_fused",
        bf16=recipe.bf16,
        seed=recipe.seed,
        data_seed=recipe.seed,
        eval_strategy="epoch" if validates else "no",
        save_strategy="epoch",
        # The best, the last complete one, and the one being written.
        save_total_limit=3,
        restore_callback_states_from_checkpoint=options.resume is not None,
        load_best_model_at_end=validates,
        metric_for_best_model=metric if validates else None,
        greater_is_better=recipe.select != "loss" if validates else None,
        logging_strategy="epoch",
        report_to=list(options.report_to) or "none",
        run_name=options.run_name,
        disable_tqdm=not options.progress,
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        ddp_find_unused_parameters=False,
    )
    # Several processes may share the work, but not threads of one process (DataParallel).
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


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


def _scores(weights: Tensor | None, prediction: Any) -> dict[str, float]:
    logits, truth = prediction.predictions, prediction.label_ids.astype(int)
    if truth.ndim == 2:
        return multi_label_scores(truth, (logits > 0).astype(int), weights)
    return accuracy_and_f1(truth, logits.argmax(-1), weights)
