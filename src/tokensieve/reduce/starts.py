"""Modules of cells whose parameters do not start as torch, or transformers, makes them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor


class Starts:
    """Beside `nn.Module`, for a module that has parameters itself: transformers passes over those without."""

    def first_values(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The parameters and buffers that start in another way, with their first values."""
        yield from ()
