"""What a run starts from: whether that is a trained classifier of these labels, and its record."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tokensieve.backbones.default_model import name_of_base
from tokensieve.backbones.loading import load_config
from tokensieve.config import ReductionConfig
from tokensieve.errors import ConfigError
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.training.output import RECORD, read_record

logger = logging.getLogger(__name__)


def why_no_candidate(base: str | Path, settings: ReductionConfig) -> str | None:
    """Which part of a trained classifier would start at random with these settings; None: no part."""
    config = load_config(base)
    assert isinstance(config, TokensieveConfig)
    before = config.settings
    if before.resolved_pooling != settings.resolved_pooling:
        return (
            f"the head of {base} reads {before.resolved_pooling!r} pooling, so with "
            f"pooling={settings.resolved_pooling!r} it would start at random"
        )
    if settings.combine is not None and before.combination_tokens != settings.combination_tokens:
        return f"{base} has no combining module with {settings.combination_tokens} tokens, so it would start at random"
    return None


def check_start(reason: str | None, wanted: str) -> None:
    """Raise ConfigError if there is a reason why a base is not what is needed."""
    if reason is not None:
        remedy = "train one first (preset 'dense', pooling 'mean', the same data), and start from its folder"
        raise ConfigError(f"{wanted}, and {reason}: {remedy}")


def warn_of_other_data(base: str | Path, digest: str) -> None:
    """Warn if a classifier was trained on other documents: today's validation documents may be among them."""
    if (_record_of(base) or {}).get("data_digest") not in (None, digest):
        logger.warning(
            "%s was trained on other documents than these, in another split, or at another length: where validation "
            "documents of now were among them, its own weights (epoch 0) look better than they are",
            name_of_base(base),
        )


def first_stage(base: str | Path) -> dict[str, Any] | None:
    """The part of the base's training record that is kept: where it began, and how; None without a record."""
    record = _record_of(base)
    kept = ("base", "base_is_folder", "settings", "recipe", "documents", "best", "seconds", "started_from")
    return None if record is None else {name: value for name, value in record.items() if name in kept}


def _record_of(base: str | Path) -> dict[str, Any] | None:
    record = Path(base) / RECORD
    return read_record(record) if record.is_file() else None
