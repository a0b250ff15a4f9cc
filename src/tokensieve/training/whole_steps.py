"""Trainer, with what several processes and a kill at any moment ask for on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback

from tokensieve.training.checkpoints import mark_whole, unmark
from tokensieve.training.order import EpochOrder


class WholeStepsTrainer(Trainer):
    """Every document once an epoch, in an order of our own; losses over documents; checkpoints marked when whole.

    Args:
        order: of the training documents.
        options: as Trainer takes them.
    """

    def __init__(self, order: EpochOrder, **options: Any) -> None:
        super().__init__(**options)
        self.order = order

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self.order

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
