"""One process or several: which one writes, and where all wait; and `forward` as it was before accelerate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def processes(device: torch.device) -> Any:
    """The state that accelerate keeps of this group of processes.

    It has `num_processes`, `is_main_process` and `wait_for_everyone`. `torchrun`, mpirun and `accelerate launch` start
    several processes. On CPU they communicate through gloo.
    """
    from accelerate import PartialState

    return PartialState(cpu=device.type == "cpu")


def is_main_process() -> bool:
    """Whether this is the only process, or the first one by the launcher's numbers."""
    import os

    return next((os.environ[name] for name in _RANKS if name in os.environ), "0") == "0"


_RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
"""Variables of torchrun, and of the mpirun that `accelerate launch --mpirun_hostfile` calls on CPU."""


@contextmanager
def forward_restored(model: Any) -> Iterator[None]:
    """Put a model's `forward` back after Trainer has replaced it.

    In bfloat16 Trainer's one keeps its autocast, and what is fitted next is to be computed in the model's own type.
    """
    before = model.__dict__.get("forward")
    try:
        yield
    finally:
        model.__dict__.pop("forward", None)
        model.__dict__.pop("_original_forward", None)
        if before is not None:
            model.__dict__["forward"] = before
