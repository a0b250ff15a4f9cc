"""Reading again: the confidence below which a document's tokens are all read, fitted to validation documents.

A cascade of one model with itself: what the pruned reading is unsure of, where most of its answers differ from those of
all tokens, is decided by all tokens. The share of such documents is a setting; it is what the second reading costs.
"""

from __future__ import annotations

from typing import Any

import torch

from tokensieve.config import PTCConfig
from tokensieve.errors import ConfigError
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.probabilities import confidence


def check_reread(settings: PTCConfig, documents: int) -> None:
    """Raise ConfigError where documents are to be read again and no validation documents tell which."""
    if settings.reread and not documents:
        raise ConfigError(
            f"reread={settings.reread:g} needs validation documents, whose confidence tells which are read again: give "
            "some, or a validation_fraction above 0"
        )


@torch.no_grad()
def fit_reread(model: TokensieveForSequenceClassification, logits: Any, trained: bool) -> dict[str, float] | None:
    """Fit the confidence of the settings' `reread` to a trained model.

    Args:
        model: gets it, in its config.
        logits: [N, C] of validation documents, by the first reading.
        trained: whether its weights are no longer those that it started with: then the last layer that reads fewer
            tokens reads all tokens, too.

    Returns:
        "below", the confidence, and "documents", N; None where the settings read nothing again.
    """
    whole = model.head.whole
    if whole is None:
        return None
    if trained:
        whole.load_state_dict(model.head.classifier.state_dict())
    found = confidence(torch.as_tensor(logits), model.config.problem_type)
    model.config.reread_below = float(found.quantile(model.settings.reread))
    return {"below": model.config.reread_below, "documents": len(found)}
