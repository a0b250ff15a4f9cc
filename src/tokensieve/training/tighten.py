"""Pruning that tightens while a model is trained: it begins with all tokens, and loses them little by little."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import TrainerCallback

from tokensieve.model.layer import Layer
from tokensieve.reduce.schedule import exact_ratio


class TightenPruning(TrainerCallback):
    """Lets every layer's ratio fall from 1 to its own over the first steps; epochs are validated at its own.

    Args:
        model: whose layers prune.
        share: of all steps, in (0, 1].
    """

    def __init__(self, model: nn.Module, share: float) -> None:
        self.share = share
        layers = [module for module in model.modules() if isinstance(module, Layer) and module.prune is not None]
        self.own = [(layer, layer.share) for layer in layers]

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Set the ratios of this step, which follow from its number alone: a resumed run goes on alike."""
        done = min(1.0, state.global_step / (self.share * state.max_steps))
        for layer, own in self.own:
            layer.share = own if done == 1 else exact_ratio(1 - (1 - float(own)) * done)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Before the epoch is validated."""
        self._set_own()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The model is used with its own ratios."""
        self._set_own()

    def _set_own(self) -> None:
        for layer, own in self.own:
            layer.share = own
