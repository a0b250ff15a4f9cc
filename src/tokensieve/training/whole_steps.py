"""Trainer, with what several processes and a kill at any moment ask for on top."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback

from tokensieve.training.checkpoints import mark_whole, unmark
from tokensieve.training.distill import LOGITS, POOLED, TaughtLoss
from tokensieve.training.order import EpochOrder


class WholeStepsTrainer(Trainer):
    """Every document once an epoch, in an order of our own; losses over documents; checkpoints marked when whole.

    Args:
        order: of the training documents.
        new: parameters that have a learning rate of their own.
        new_rate: that rate, as a multiple of the others'.
        options: as Trainer takes them.
    """

    def __init__(
        self, order: EpochOrder, new: Collection[nn.Parameter] = (), new_rate: float = 1.0, **options: Any
    ) -> None:
        super().__init__(**options)
        self.order, self.new_rate = order, new_rate
        self.new = {id(parameter) for parameter in new}

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self.order

    def compute_loss(self, model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
        """Trainer's; what a teacher said of the batch goes to the loss, and not to the model."""
        targets = {name: inputs.pop(name) for name in (LOGITS, POOLED) if name in inputs}
        if not targets:
            return super().compute_loss(model, inputs, *arguments, **options)
        assert isinstance(self.compute_loss_func, TaughtLoss)
        self.compute_loss_func.targets = targets
        try:
            return super().compute_loss(model, inputs, *arguments, **options)
        finally:
            self.compute_loss_func.targets = None

    def create_optimizer(self, *arguments: Any, **options: Any) -> Any:
        """Trainer's, in which new parameters may have a learning rate of their own."""
        made = self.optimizer is None
        optimizer = super().create_optimizer(*arguments, **options)
        if not made or self.new_rate == 1:
            return optimizer
        for group in list(optimizer.param_groups):
            new = [parameter for parameter in group["params"] if id(parameter) in self.new]
            if new:
                group["params"] = [parameter for parameter in group["params"] if id(parameter) not in self.new]
                optimizer.add_param_group({**group, "params": new, "lr": group["lr"] * self.new_rate})
        return optimizer

    def evaluation_loop(self, *arguments: Any, **options: Any) -> Any:
        """Trainer's, with the mean loss over the documents: with several processes its own counts some twice."""
        output = super().evaluation_loop(*arguments, **options)
        metrics = output.metrics or {}
        for name in [name for name in metrics if name.endswith("_loss")]:
            logits, labels = torch.as_tensor(output.predictions), torch.as_tensor(output.label_ids)
            assert self.compute_loss_func is not None
            metrics[name] = float(self.compute_loss_func({"logits": logits}, labels))
        return output

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        checkpoint = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            unmark(checkpoint)  # it may be there from a step before the end of the epoch
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()  # each process writes its random state
        if self.args.should_save:
            mark_whole(checkpoint)


class CheckpointEverySteps(TrainerCallback):
    """Saves a checkpoint every so many steps, beside Trainer's own at the end of each epoch.

    Args:
        steps: how many.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """At the end of an epoch Trainer saves by itself, after it has evaluated: one from before lacks the scores."""
        in_epoch = state.max_steps // max(1, int(args.num_train_epochs))
        if state.global_step % self.steps == 0 and state.global_step % in_epoch:
            control.should_save = True
