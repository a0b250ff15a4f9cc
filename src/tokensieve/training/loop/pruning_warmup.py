"""Pruning warm-up: training begins with all tokens, and the keep shares fall step by step to their final values."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import TrainerCallback

from tokensieve.model.layer import Layer
from tokensieve.reduce.schedule import exact_ratio


class PruningWarmup(TrainerCallback):
    """Let every layer's keep share fall from 1 to its final value over the first steps.

    Epochs are validated at the final values.

    Args:
        model: whose layers prune.
        share: of all steps, in (0, 1].
    """

    def __init__(self, model: nn.Module, share: float) -> None:
        self.share = share
        layers = [module for module in model.modules() if isinstance(module, Layer) and module.prune is not None]
        self.final = [(layer, layer.share) for layer in layers]

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Set the keep shares of this step. They depend on its number alone, so a resumed run has the same."""
        done = min(1.0, state.global_step / (self.share * state.max_steps))
        for layer, share in self.final:
            layer.share = share if done == 1 else exact_ratio(1 - (1 - float(share)) * done)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Set the final values before the epoch is validated."""
        self._set_final()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave the model with the final values."""
        self._set_final()

    def _set_final(self) -> None:
        for layer, share in self.final:
            layer.share = share
