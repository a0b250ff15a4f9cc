"""The tensors of a classifier's file by stage: of a cascade each is written once, under the first stage that has it."""

from pathlib import Path

import torch
from safetensors.torch import load_file


def weights_of(folder: Path, stage: int = 0) -> dict[str, torch.Tensor]:
    """By the names that they have in a model of its own; of a model alone all, whatever the stage."""
    every = load_file(folder / "model.safetensors")
    if not is_cascade(folder):
        return every
    own = [
        {name.removeprefix(start): tensor for name, tensor in every.items() if name.startswith(start)}
        for start in ("stages.0.", "stages.1.")
    ]
    return own[0] | (own[1] if stage else {})


def own_of_second(folder: Path) -> dict[str, torch.Tensor]:
    """What the second stage does not share."""
    start = "stages.1."
    every = load_file(folder / "model.safetensors")
    return {name.removeprefix(start): tensor for name, tensor in every.items() if name.startswith(start)}


def is_cascade(folder: Path) -> bool:
    """Whether the file holds two stages."""
    return bool(own_of_second(folder))
