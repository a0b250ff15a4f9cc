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

from tokensieve.backbones.loading import load_config
from tokensieve.config import PTCConfig
from tokensieve.data.splits import DataSplits
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.errors import ConfigError
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.probabilities import confidence
from tokensieve.training.recipe import Recipe
from tokensieve.training.reread_share import answered, fit_share, read_both_ways
from tokensieve.training.trainer import Trained

logger = logging.getLogger(__name__)


def check_reread(settings: PTCConfig, recipe: Recipe, documents: int) -> None:
    """Raise ConfigError where documents are to be read again and no validation documents tell which; or where none are,
    and a loss is given that tells how many.
    """
    if recipe.reread_loss is not None and not settings.reread:
        raise ConfigError(
            f"reread_loss={recipe.reread_loss:g} with reread=0: there is no second reading whose share it could fit; "
            "give reread any share, such as 0.1, or leave reread_loss out"
        )
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
    if model.head.whole is None:
        return None
    if trained:
        _share_everything(model)
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
    recipe: Recipe,
    splits: DataSplits,
    trained: bool,
) -> tuple[dict[str, float] | None, Trained]:
    """`fit_reread` to the validation documents of a run, and what these are answered then, for calibration.

    Args:
        model: on its device.
        result: its logits are of the first reading.
        validation: the documents.
        tokenizer: pads.
        recipe: with `reread_loss` the share is fitted first (`training.reread_share`).
        splits: documents without labels serve for that, too.
        trained: as in `fit_reread`.

    Returns:
        As `fit_reread`, with "share", and "changed", those of the validation documents that are read again whose
        predicted class is another, and with `reread_loss` "expected_loss", points that the others lose; and the result
        with the logits of both readings.
    """
    if model.head.whole is None:
        return None, result
    first, lengths = torch.as_tensor(result.logits), validation.lengths.tolist()
    if trained:
        _share_everything(model)
    if recipe.reread_loss is None:
        fitted = fit_reread(model, first, lengths, False)
    else:
        more = TokenizedDocuments(splits.unlabelled, tokenizer, recipe.max_length)
        judged, others = (read_both_ways(model, documents, tokenizer) for documents in (validation, more))
        every, left = fit_share(model, judged, result.truth, others, recipe.reread_loss)
        fitted, first = fit_reread(model, every.first, every.lengths, False), judged.first
        fitted = fitted and {**fitted, "expected_loss": left}
    assert fitted is not None
    again = model.unsure(first, lengths)
    # What is too short to be pruned may have another last layer, too, now that the confidence is fitted.
    short = [row for row, pruned in enumerate(model.encoder.pruned(lengths)) if not pruned]
    second = first.clone()
    second[again] = answered(model, validation, again, tokenizer, "second")
    second[short] = answered(model, validation, short, tokenizer, "first")
    changed = int((first[again].argmax(1) != second[again].argmax(1)).sum())
    return {**fitted, "share": model.settings.reread, "changed": changed}, replace(result, logits=second.numpy())


def _share_everything(model: TokensieveForSequenceClassification) -> None:
    """The last layer, norms and biases of the first reading are the second one's."""
    assert model.head.whole is not None
    model.head.whole.load_state_dict(model.head.classifier.state_dict())
    model.give_second_norms(False)
