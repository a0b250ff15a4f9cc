"""A run that is cut off."""

from typing import Any

from transformers import TrainerCallback


class CutOff(TrainerCallback):
    """Interrupts training, as Ctrl-C does, ahead of the step that follows so many."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.steps:
            raise KeyboardInterrupt
