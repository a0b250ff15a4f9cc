"""Gates in a run of Trainer: their parameters stay in their range."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import TrainerCallback

from tokensieve.model.gates import project


class ProjectGates(TrainerCallback):
    """Take the parameters of gates back into their range after every step.

    Args:
        model: has the gates.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After the optimizer's step."""
        project(self.model)
