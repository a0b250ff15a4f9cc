"""One process or several: who writes, and where all of them wait."""

from __future__ import annotations

from typing import Any

import torch


def processes(device: torch.device) -> Any:
    """accelerate's state of this group of processes (`torchrun` and `accelerate launch` make several): its
    `num_processes`, `is_main_process` and `wait_for_everyone`. On CPU they talk through gloo.
    """
    from accelerate import PartialState

    return PartialState(cpu=device.type == "cpu")


def is_main_process() -> bool:
    """Whether this is the only process, or the first of them, as their launcher numbers them."""
    import os

    return os.environ.get("RANK", "0") == "0"
