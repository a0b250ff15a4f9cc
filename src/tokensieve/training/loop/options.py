"""Where a run goes and what it reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class RunOptions:
    """Where a run goes and what it reports; none of it changes the weights.

    Attributes:
        checkpoints: folder for Trainer's checkpoints.
        device: CPU or CUDA.
        checkpoint_steps: save one every this many steps, beside one at the end of each epoch; None: only the latter.
        resume: go on from this checkpoint.
        progress: show bars and the log on stderr.
        callbacks: for Trainer.
        report_to: trackers by Trainer's names, such as "tensorboard".
        logs: folder for TensorBoard's files.
        run_name: for the trackers.
    """

    checkpoints: Path
    device: torch.device
    checkpoint_steps: int | None = None
    resume: Path | None = None
    progress: bool = True
    callbacks: Sequence[Any] = ()
    report_to: Sequence[str] = ()
    logs: Path | None = None
    run_name: str | None = None

    def unobserved(self) -> RunOptions:
        """The same for a Trainer that reports to nobody, saves nothing between epochs and resumes nothing."""
        return replace(self, callbacks=(), report_to=(), resume=None, checkpoint_steps=None)
