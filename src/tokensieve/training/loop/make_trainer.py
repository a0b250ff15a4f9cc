"""The Trainer of a run, with its order of documents, its callbacks and its scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor

from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.errors import ConfigError
from tokensieve.metrics import accuracy_and_f1, multi_label_scores
from tokensieve.model.gates import gate_parameters, gated_layers
from tokensieve.training.loop.arguments import training_arguments
from tokensieve.training.loop.epoch_order import EpochOrder, PaddedDocuments, SetEpoch
from tokensieve.training.loop.gates import ProjectGates
from tokensieve.training.loop.options import RunOptions
from tokensieve.training.loop.processes import processes
from tokensieve.training.loop.pruning_warmup import PruningWarmup
from tokensieve.training.loop.sandwich import Sandwich
from tokensieve.training.lora import new_parameters
from tokensieve.training.losses.batch import WithTargets
from tokensieve.training.recipe import Recipe


def make_trainer(
    model: Any,
    tokenizer: Any,
    train: TokenizedDocuments | WithTargets,
    validation: TokenizedDocuments,
    recipe: Recipe,
    options: RunOptions,
    loss: Callable[..., Tensor],
    *,
    saves: bool = True,
) -> Any:
    """The Trainer of a run.

    Args:
        model: one of ours in float32, or a `peft.PeftModel` of one.
        tokenizer: pads the batches.
        train: the documents, with what the loss reads of each.
        validation: with labels; may be empty.
        recipe: how.
        options: where to, and what else.
        loss: takes outputs and labels, and what `losses.batch` finds in a batch.
        saves: whether it leaves checkpoints.
    """
    from transformers import DataCollatorWithPadding, PrinterCallback

    from tokensieve.training.loop.trainer import TokensieveTrainer

    validates, number = len(validation) > 0, processes(options.device).num_processes
    order = EpochOrder(len(train), recipe.batch_size * number if number > 1 else 1, recipe.seed)
    with _trackers_explained(options.report_to):
        trainer = TokensieveTrainer(
            order=order,
            model=model,
            rates=[
                (new_parameters(model), recipe.head_lr_multiplier),
                (gate_parameters(model), recipe.gate_learning_rate / recipe.learning_rate),
            ],
            validation_weights=validation.weights,
            sandwich=Sandwich(model, recipe) if recipe.length_drop else None,
            args=training_arguments(recipe, len(order), number, validates, options, saves=saves),
            train_dataset=PaddedDocuments(train, order.total),
            eval_dataset=validation if validates else None,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=partial(_scores, validation.weights),
            compute_loss_func=loss,
            callbacks=_callbacks(model, recipe, options, order, validates),
        )
    if not options.progress:
        trainer.remove_callback(PrinterCallback)  # which takes the bars' place
    return trainer


@contextmanager
def _trackers_explained(names: Sequence[str]) -> Iterator[None]:
    """Turn what Trainer raises for a tracker that it cannot call into a ConfigError."""
    try:
        yield
    except (ImportError, RuntimeError, ValueError) as error:
        if names and any(name in str(error) for name in ("Callback", "not supported", *names)):
            raise ConfigError(
                f"report_to={list(names)}: {error}; install the tracker, or leave report_to out"
            ) from error
        raise


def _callbacks(model: Any, recipe: Recipe, options: RunOptions, order: EpochOrder, validates: bool) -> list[Any]:
    from transformers import EarlyStoppingCallback

    from tokensieve.training.loop.trainer import CheckpointEverySteps

    callbacks: list[Any] = [SetEpoch(order), *options.callbacks]
    if gated_layers(model):
        callbacks.append(ProjectGates(model))
    if recipe.pruning_warmup:
        callbacks.append(PruningWarmup(model, recipe.pruning_warmup))
    if recipe.patience is not None and validates:
        callbacks.append(EarlyStoppingCallback(recipe.patience))
    if options.checkpoint_steps is not None:
        callbacks.append(CheckpointEverySteps(options.checkpoint_steps))
    return callbacks


def _scores(weights: Tensor | None, prediction: Any) -> dict[str, float]:
    logits, truth = prediction.predictions, prediction.label_ids.astype(int)
    if truth.ndim == 2:
        return multi_label_scores(truth, (logits > 0).astype(int), weights)
    return accuracy_and_f1(truth, logits.argmax(-1), weights)
