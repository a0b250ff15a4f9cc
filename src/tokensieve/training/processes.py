"""One process or several: who writes, and where all of them wait."""

from __future__ import annotations

from typing import Any

import torch


def processes(device: torch.device) -> Any:
    """accelerate's state of this group of processes (`torchrun` makes several, as do mpirun and `accelerate launch`):
    its `num_processes`, `is_main_process` and `wait_for_everyone`. On CPU they talk through gloo.
    """
    from accelerate import PartialState

    return PartialState(cpu=device.type == "cpu")


def is_main_process() -> bool:
    """Whether this is the only process, or the first of them, as their launcher numbers them."""
    import os

    return next((os.environ[name] for name in _RANKS if name in os.environ), "0") == "0"


_RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
"""Variables of torchrun, and of the mpirun that `accelerate launch --mpirun_hostfile` calls on CPU."""
