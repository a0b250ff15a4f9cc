"""A recipe as transformers' TrainingArguments."""

from __future__ import annotations

import math
from typing import Any

from tokensieve.training.loop.options import RunOptions
from tokensieve.training.recipe import Recipe


def training_arguments(
    recipe: Recipe, documents: int, number: int, validates: bool, options: RunOptions, *, saves: bool = True
) -> Any:
    """The recipe as transformers' TrainingArguments.

    Args:
        recipe: how.
        documents: of an epoch.
        number: of processes.
        validates: whether it does so after every epoch, of which the best is then kept.
        options: where to, and what else.
        saves: whether it leaves a checkpoint after every epoch.
    """
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
        save_strategy="epoch" if saves else "no",
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
        remove_unused_columns=False,  # the collator gets what the loss reads
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        ddp_find_unused_parameters=False,
    )
    # Several processes may share the work, but not threads of one process (DataParallel).
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
