"""One run of transformers' Trainer by a recipe."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.data.tokenize import TokenizedDocuments
from tokensieve.errors import MissingExtraError, TrainingError
from tokensieve.metrics import accuracy_and_f1
from tokensieve.model.attention import SelfAttention
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.training.recipe import Recipe


def require_accelerate() -> None:
    """Raise MissingExtraError where Trainer could not run."""
    if importlib.util.find_spec("accelerate") is None:
        raise MissingExtraError("training", "accelerate", "train")


def run_trainer(
    model: TokensieveForSequenceClassification,
    tokenizer: Any,
    train: TokenizedDocuments,
    validation: TokenizedDocuments,
    recipe: Recipe,
    checkpoints: Path,
    device: torch.device,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Train in place; afterwards the model holds the best epoch's weights (the last one's without validation).

    Args:
        model: in float32.
        tokenizer: pads the batches.
        train: with labels.
        validation: with labels; may be empty.
        recipe: how.
        checkpoints: folder for Trainer's checkpoints of the weights.
        device: CPU or CUDA.
        progress: show bars and the log on stderr.

    Returns:
        Trainer's log: losses and metrics by epoch.

    Raises:
        MissingExtraError: accelerate is not installed.
        TrainingError: the loss is no finite number any more.
    """
    require_accelerate()
    from transformers import DataCollatorWithPadding, EarlyStoppingCallback, PrinterCallback, Trainer

    validates = len(validation) > 0
    if recipe.attention_dropout is not None:
        set_attention_dropout(model, recipe.attention_dropout)
    callbacks: list[Any] = [EarlyStoppingCallback(recipe.patience)] if recipe.patience is not None and validates else []
    balanced = recipe.class_weights == "balanced"
    weights = balanced_weights(train.class_ids, model.num_labels or 0) if balanced else None
    trainer = Trainer(
        model=model,
        args=training_arguments(recipe, len(train), checkpoints, validates, device, progress),
        train_dataset=train,
        eval_dataset=validation if validates else None,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=_metrics,
        compute_loss_func=step_loss(weights),
        callbacks=callbacks,
    )
    if not progress:
        trainer.remove_callback(PrinterCallback)  # which takes the bars' place
    with contextlib.redirect_stdout(sys.stderr):  # Trainer prints its log; stdout is for results
        trainer.train()
    history: list[dict[str, Any]] = trainer.state.log_history
    check_converged(history, recipe)
    return history


def check_converged(history: Sequence[dict[str, Any]], recipe: Recipe) -> None:
    """Raise TrainingError where a loss or gradient is no finite number any more: the weights are worth nothing."""
    for entry in history:
        for name in ("loss", "grad_norm", "eval_loss"):
            if name in entry and not math.isfinite(entry[name]):
                raise TrainingError(
                    f"training diverged: {name} is {entry[name]} after epoch {entry.get('epoch', 0):g}; "
                    f"lower the learning rate (learning_rate={recipe.learning_rate:g})"
                )


def training_arguments(
    recipe: Recipe, documents: int, folder: Path, validates: bool, device: torch.device, progress: bool
) -> Any:
    """The recipe in Trainer's words."""
    from transformers import TrainingArguments

    steps = math.ceil(math.ceil(documents / recipe.batch_size) / recipe.accumulation) * recipe.epochs
    metric = "eval_loss" if recipe.select == "loss" else f"eval_{recipe.select}"
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=2 * recipe.batch_size,
        gradient_accumulation_steps=recipe.accumulation,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=math.ceil(recipe.warmup * steps),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.clip,
        optim="adamw_torch",
        bf16=recipe.bf16,
        seed=recipe.seed,
        data_seed=recipe.seed,
        eval_strategy="epoch" if validates else "no",
        save_strategy="epoch" if validates else "no",
        save_only_model=True,
        save_total_limit=1,
        load_best_model_at_end=validates,
        metric_for_best_model=metric if validates else None,
        greater_is_better=recipe.select != "loss" if validates else None,
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=not progress,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type != "cpu",
    )
    arguments._n_gpu = min(
        arguments.n_gpu, 1
    )  # several processes may share the work, threads of one (DataParallel) not
    return arguments


def step_loss(weights: Tensor | None) -> Callable[..., Tensor]:
    """Cross entropy as Trainer's `compute_loss_func`: the sum divided by the documents of the whole optimizer step.

    A mean of the means of forward passes would weigh the documents of a short last pass more; so accumulation
    changes nothing, with class weights or without.

    Args:
        weights: of the classes [C], or None.
    """

    def loss(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        logits = outputs["logits"].float()
        own = None if weights is None else weights.to(logits.device)
        total = F.cross_entropy(logits, labels, weight=own, reduction="sum")
        return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)

    return loss


def balanced_weights(class_ids: Sequence[int], classes: int) -> Tensor:
    """Inverse frequency of each class [C], mean 1 over the documents; 0 for a class without any."""
    counts = torch.bincount(torch.tensor(class_ids), minlength=classes)
    present = int((counts > 0).sum())
    return torch.where(counts > 0, len(class_ids) / (present * counts.clamp(min=1)), 0.0)


def set_attention_dropout(model: TokensieveForSequenceClassification, probability: float) -> None:
    """Change attention dropout in every layer and in the config."""
    model.config.attention_probs_dropout_prob = probability
    for module in model.modules():
        if isinstance(module, SelfAttention):
            module.dropout = probability


def _metrics(prediction: Any) -> dict[str, float]:
    return accuracy_and_f1(prediction.label_ids.tolist(), prediction.predictions.argmax(-1).tolist())
