"""One process or several: who writes, and where all of them wait; and the model as it was before accelerate had it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def own_forward(model: Any) -> Iterator[None]:
    """Trainer leaves a model of its own `forward`, which in bfloat16 keeps its autocast: afterwards there is the former
    one again, so that what is fitted or answered next is computed in the model's own type.
    """
    before = model.__dict__.get("forward")
    try:
        yield
    finally:
        model.__dict__.pop("forward", None)
        model.__dict__.pop("_original_forward", None)
        if before is not None:
            model.__dict__["forward"] = before
