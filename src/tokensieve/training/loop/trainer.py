"""TokensieveTrainer: transformers' Trainer, made exact on several processes and resumable after a kill."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback

from tokensieve.data.tokenized import WEIGHT
from tokensieve.training.files.checkpoints import mark_complete, unmark
from tokensieve.training.loop.epoch_order import EpochOrder
from tokensieve.training.loop.sandwich import Sandwich
from tokensieve.training.losses.batch import LABELS, items_in, taken_for_the_loss
from tokensieve.training.losses.in_place import in_place_loss


class TokensieveTrainer(Trainer):
    """Trainer with exact epochs (each document once, in `order`), losses over documents, and marked checkpoints.

    Args:
        order: of the training documents.
        rates: parameters with a learning rate of their own, and that as a multiple of the others'.
        validation_weights: of the validation documents [N]; None: each counts once.
        sandwich: the passes of a step, each with other keep shares; None: one pass.
        options: as Trainer takes them.
    """

    def __init__(
        self,
        order: EpochOrder,
        rates: Sequence[tuple[Collection[nn.Parameter], float]] = (),
        validation_weights: Tensor | None = None,
        sandwich: Sandwich | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.order, self.validation_weights, self.sandwich = order, validation_weights, sandwich
        self.rates = [({id(parameter) for parameter in own}, rate) for own, rate in rates if rate != 1]

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self.order

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a batch; labels, weights and a teacher's targets go to the loss, and not to the model."""
        assert self.compute_loss_func is not None
        labels, arguments = taken_for_the_loss(inputs)
        if self.sandwich is not None and model.training:
            assert labels is not None, "run_without_labels has a recipe without length_drop"
            passes = self.sandwich.run(model, inputs, self.state.global_step)
            loss = in_place_loss(passes, labels, self.compute_loss_func, num_items_in_batch, arguments)
            outputs = passes[0]
        else:
            outputs = model(**inputs)
            loss = self.compute_loss_func(outputs, labels, num_items_in_batch, **arguments)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # the items are those of all processes, and gradients a mean
        return (loss, outputs) if return_outputs else loss

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], Any]:
        """Trainer's batches of an optimizer step, and their items.

        Trainer counts labels. Documents without labels, and those with weights, are counted here.
        """
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        if not batches or (LABELS in batches[0] and WEIGHT not in batches[0]):
            return batches, items
        total = torch.stack([items_in(batch) for batch in batches]).sum().to(device)
        if self.args.average_tokens_across_devices and self.args.world_size > 1:
            total = self.accelerator.gather(total).sum()
        return batches, total

    def create_optimizer(self, *arguments: Any, **options: Any) -> Any:
        """Trainer's optimizer, in which some parameters may have other learning rates."""
        made = self.optimizer is None
        optimizer = super().create_optimizer(*arguments, **options)
        for ids, rate in self.rates if made else ():
            for group in list(optimizer.param_groups):
                own = [parameter for parameter in group["params"] if id(parameter) in ids]
                if own:
                    group["params"] = [parameter for parameter in group["params"] if id(parameter) not in ids]
                    optimizer.add_param_group({**group, "params": own, "lr": group["lr"] * rate})
        return optimizer

    def evaluation_loop(self, *arguments: Any, **keywords: Any) -> Any:
        """Trainer's loop, with the mean loss over the documents; Trainer counts some twice on several processes."""
        output = super().evaluation_loop(*arguments, **keywords)
        metrics = output.metrics or {}
        for name in [name for name in metrics if name.endswith("_loss")]:
            logits, labels = torch.as_tensor(output.predictions), torch.as_tensor(output.label_ids)
            assert self.compute_loss_func is not None
            options = {} if self.validation_weights is None else {"sample_weight": self.validation_weights}
            metrics[name] = float(self.compute_loss_func({"logits": logits}, labels, **options))
        return output

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        checkpoint = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            unmark(checkpoint)  # it may exist from a step before the end of the epoch
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()  # each process writes its random state
        if self.args.should_save:
            mark_complete(checkpoint)


class CheckpointEverySteps(TrainerCallback):
    """Save a checkpoint every `steps` steps, beside Trainer's at the end of each epoch.

    Args:
        steps: optimizer steps from one checkpoint to the next.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave the end of an epoch to Trainer: it saves after evaluation, with the scores."""
        in_epoch = state.max_steps // max(1, int(args.num_train_epochs))
        if state.global_step % self.steps == 0 and state.global_step % in_epoch:
            control.should_save = True
