"""The settings of a token reduction, composed of cells, and their records."""

from __future__ import annotations

from typing import Any

from tokensieve.config.prune import Prune
from tokensieve.config.reduction import Deferral, ReductionConfig

__all__ = ["Deferral", "Prune", "ReductionConfig"]


def __getattr__(name: str) -> Any:
    """The name of version 0.1.0, which warns when it is called."""
    if name == "PTCConfig":
        from tokensieve.config.ptc import PTCConfig

        return PTCConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
