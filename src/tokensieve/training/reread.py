"""Reading again: the confidence below which a document's tokens are all read, fitted to validation documents.

A cascade of one model with itself: what the pruned reading is unsure of, where most of its answers differ from those of
all tokens, is decided by all tokens. The share of such documents is a setting; it is what the second reading costs.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tokensieve.backbones.loading import load_config
from tokensieve.config import PTCConfig
from tokensieve.data.tokenize import TokenizedDocuments
from tokensieve.errors import ConfigError
from tokensieve.model.classifier import Reading, TokensieveForSequenceClassification
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.probabilities import confidence
from tokensieve.training.sample import padded
from tokensieve.training.trainer import Trained

logger = logging.getLogger(__name__)

_BATCH = 16


def check_reread(settings: PTCConfig, documents: int) -> None:
    """Raise ConfigError where documents are to be read again and no validation documents tell which."""
    if settings.reread and not documents:
        raise ConfigError(
            f"reread={settings.reread:g} needs validation documents, whose confidence tells which are read again: give "
            "some, or a validation_fraction above 0, or set reread to 0"
        )


def warn_of_pruned_base(settings: PTCConfig, base: str | Path) -> None:
    """Where the last layer of the second reading would be one that has learned to read fewer tokens."""
    config = load_config(base)
    own = config.settings if isinstance(config, TokensieveConfig) else None
    if settings.reread and own is not None and own.pruning != "none" and not own.reread:
        logger.warning("%s prunes, and its head is to read all tokens again: better start from a dense one", base)


def fit_reread(
    model: TokensieveForSequenceClassification, logits: Any, lengths: Sequence[int], trained: bool
) -> dict[str, float] | None:
    """Fit the confidence of the settings' `reread` to a model: so that this share of the documents that it prunes, the
    least sure ones, is read again.

    Args:
        model: gets it, in its config.
        logits: [N, C], tensor or array, by the first reading.
        lengths: tokens of each document.
        trained: whether its weights are no longer those that it started with: then the last layer, norms and biases
            that read fewer tokens read all tokens, too.

    Returns:
        "below", the confidence, and "documents", how many it was fitted to; None where the settings read nothing again.
    """
    whole = model.head.whole
    if whole is None:
        return None
    if trained:
        whole.load_state_dict(model.head.classifier.state_dict())
        model.give_second_norms(False)
    pruned = torch.tensor(model.encoder.pruned(lengths))
    sure = confidence(torch.as_tensor(logits), model.config.problem_type).cpu()[pruned].sort().values
    again = round(model.settings.reread * len(sure))
    bounds = torch.cat([sure.new_zeros(1), sure, sure.new_ones(1)])
    model.config.reread_below = float(bounds[again : again + 2].mean()) if again else 0.0
    return {"below": model.config.reread_below, "documents": len(sure)}


def fit_to_validation(
    model: TokensieveForSequenceClassification,
    result: Trained,
    validation: TokenizedDocuments,
    tokenizer: Any,
    *,
    trained: bool,
) -> tuple[dict[str, float] | None, Trained]:
    """`fit_reread` to the validation documents of a run, and what these are answered then, for calibration.

    Args:
        model: on its device.
        result: its logits are of the first reading.
        validation: the documents.
        tokenizer: pads.
        trained: as in `fit_reread`.

    Returns:
        As `fit_reread`, with "changed", those of the validation documents that are read again whose predicted class is
        another; and the result with the logits of both readings.
    """
    fitted = fit_reread(model, result.logits, validation.lengths.tolist(), trained)
    if fitted is None:
        return None, result
    first = torch.as_tensor(result.logits)
    again = model.unsure(first, validation.lengths.tolist())
    second = _answered_again(model, first, again, validation, tokenizer)
    changed = int((first[again].argmax(1) != second[again].argmax(1)).sum())
    return {**fitted, "changed": changed}, replace(result, logits=second.numpy())


@torch.no_grad()
def _answered_again(
    model: TokensieveForSequenceClassification,
    logits: Tensor,
    again: Sequence[int],
    documents: TokenizedDocuments,
    tokenizer: Any,
) -> Tensor:
    """Logits [N, C] with those of the second reading for some documents; what is too short to be pruned gets those of a
    fitted model, which may have another last layer for it.
    """
    logits, training = logits.clone(), model.training
    short = [row for row, pruned in enumerate(model.encoder.pruned(documents.lengths.tolist())) if not pruned]
    work: list[tuple[Reading, Sequence[int]]] = [("second", again), ("first", short)]
    model.train(False)
    for reading, rows in work:
        for start in range(0, len(rows), _BATCH):
            some = list(rows[start : start + _BATCH])
            batch = padded([documents[row] for row in some], tokenizer, model.device)
            logits[some] = model(**batch, reading=reading).logits.float().cpu()
    model.train(training)
    return logits
