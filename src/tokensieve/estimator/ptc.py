"""The estimator's name and parameters in version 0.1.0, which go on working for one release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokensieve.estimator.classifier import TokensieveClassifier
from tokensieve.estimator.folder import parameters_today
from tokensieve.old_names import warn


class PTCClassifier:
    """The name of `TokensieveClassifier` in version 0.1.0: called with that version's parameters, it gives one."""

    def __new__(cls, *arguments: Any, **parameters: Any) -> Any:
        """The estimator: `pruning`, `keep_ratio`, `site` and the two of combining become `settings`."""
        warn("PTCClassifier", "TokensieveClassifier, whose parameters are keep and settings", stacklevel=3)
        return TokensieveClassifier(*arguments, **parameters_today(parameters))

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "auto") -> TokensieveClassifier:
        """`TokensieveClassifier.load`."""
        return TokensieveClassifier.load(folder, device=device)
