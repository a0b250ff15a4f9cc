"""The model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokensieve.model.classifier import TokensieveForSequenceClassification


def write_card(folder: Path, model: TokensieveForSequenceClassification, record: dict[str, Any]) -> None:
    """Write README.md."""
