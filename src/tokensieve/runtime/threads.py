"""How many CPU threads this process takes."""

from __future__ import annotations

import os

import torch

from tokensieve.errors import ConfigError


def set_threads(count: int) -> None:
    """Let torch and the tokenizer take so many threads; the tokenizer, if it has not started its own yet.

    Raises:
        ConfigError: `count` is below 1.
    """
    if count < 1:
        raise ConfigError(f"threads={count}: give 1 or more")
    torch.set_num_threads(count)
    os.environ.setdefault("RAYON_NUM_THREADS", str(count))  # read by the tokenizer when it first needs threads
