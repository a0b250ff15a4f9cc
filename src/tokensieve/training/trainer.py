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
from tokensieve.errors import MissingExtraError
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

    Returns:
        Trainer's log: losses and metrics by epoch.

    Raises:
        MissingExtraError: accelerate is not installed.
    """
    require_accelerate()
    from transformers import DataCollatorWithPadding, EarlyStoppingCallback, Trainer

    validates = len(validation) > 0
    if recipe.attention_dropout is not None:
        set_attention_dropout(model, recipe.attention_dropout)
    callbacks: list[Any] = [EarlyStoppingCallback(recipe.patience)] if recipe.patience is not None and validates else []
    trainer = Trainer(
        model=model,
        args=training_arguments(recipe, len(train), checkpoints, validates, device),
        train_dataset=train,
        eval_dataset=validation if validates else None,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=_metrics,
        compute_loss_func=weighted_loss(train.class_ids, model) if recipe.class_weights == "balanced" else None,
        callbacks=callbacks,
    )
    with contextlib.redirect_stdout(sys.stderr):  # Trainer prints its log; stdout is for results
        trainer.train()
    history: list[dict[str, Any]] = trainer.state.log_history
    return history


def training_arguments(recipe: Recipe, documents: int, folder: Path, validates: bool, device: torch.device) -> Any:
    """The recipe in Trainer's words."""
    from transformers import TrainingArguments

    steps = math.ceil(math.ceil(documents / recipe.batch_size) / recipe.accumulation) * recipe.epochs
    metric = "eval_loss" if recipe.select == "loss" else f"eval_{recipe.select}"
    return TrainingArguments(
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
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type != "cpu",
    )


def weighted_loss(class_ids: Sequence[int], model: TokensieveForSequenceClassification) -> Callable[..., Tensor]:
    """Cross entropy with balanced class weights, as Trainer's `compute_loss_func`.

    The sum is divided by the number of documents of the whole optimizer step, so that accumulation changes nothing.
    A class without training documents has weight 0.
    """
    counts = torch.bincount(torch.tensor(class_ids), minlength=model.num_labels or 0)
    present = int((counts > 0).sum())
    weights = torch.where(counts > 0, len(class_ids) / (present * counts.clamp(min=1)), 0.0)

    def loss(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        logits = outputs["logits"].float()
        total = F.cross_entropy(logits, labels, weight=weights.to(logits.device), reduction="sum")
        return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)

    return loss


def set_attention_dropout(model: TokensieveForSequenceClassification, probability: float) -> None:
    """Change attention dropout in every layer and in the config."""
    model.config.attention_probs_dropout_prob = probability
    for module in model.modules():
        if isinstance(module, SelfAttention):
            module.dropout = probability


def _metrics(prediction: Any) -> dict[str, float]:
    return accuracy_and_f1(prediction.label_ids.tolist(), prediction.predictions.argmax(-1).tolist())
