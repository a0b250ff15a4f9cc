"""The last stage of a training: a cascade is fitted to the validation documents (`tokensieve.cascade.fit`)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tokensieve.backbones.loading import load_config
from tokensieve.cascade.classifier import TokensieveCascadeForSequenceClassification
from tokensieve.cascade.fit import BothStages, fit_defer, fit_share
from tokensieve.config import ReductionConfig
from tokensieve.data.splits import DataSplits
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.errors import ConfigError
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.probabilities import best_temperature
from tokensieve.training.recipe import Recipe
from tokensieve.training.sample import padded
from tokensieve.training.trainer import Trained

logger = logging.getLogger(__name__)

_BATCH = 32


def check_cascade(settings: ReductionConfig, recipe: Recipe, documents: int) -> None:
    """Raise ConfigError if a cascade has no validation documents to be fitted to, or if `max_expected_loss` is given
    without a cascade.
    """
    if recipe.max_expected_loss is not None and settings.defer is None:
        raise ConfigError(
            f"max_expected_loss={recipe.max_expected_loss:g} with defer=none: there is no cascade whose share "
            "it could fit; give defer.share any share, such as 0.1, or leave max_expected_loss out"
        )
    if settings.defer is not None and not documents:
        raise ConfigError(
            f"defer.share={settings.deferred:g} needs validation documents, whose confidence tells which are deferred: "
            "give some, or a validation_fraction above 0, or set defer to none"
        )


def warn_of_pruned_base(settings: ReductionConfig, base: str | Path) -> None:
    """Warn if the second stage would get a last layer that has learned to read fewer tokens."""
    config = load_config(base)
    before = config.settings if isinstance(config, TokensieveConfig) else None
    if settings.defer is not None and before is not None and before.prune is not None and before.defer is None:
        logger.warning(
            "%s prunes, and its head is to read all tokens in the second stage: better start from a dense one", base
        )


def fit_to_validation(
    model: Any,
    result: Trained,
    validation: TokenizedDocuments,
    tokenizer: Any,
    recipe: Recipe,
    splits: DataSplits,
    trained: bool,
) -> tuple[dict[str, float] | None, Trained]:
    """Fit a cascade to the validation documents of a run, and answer these by the cascade, for calibration.

    Args:
        model: a cascade on its device; or a model alone, to which nothing is fitted.
        result: its logits are of the first stage.
        validation: the documents.
        tokenizer: pads.
        recipe: with `max_expected_loss` the share is fitted first.
        splits: documents without labels serve for that, too.
        trained: as in `fit_defer`.

    Returns:
        What `fit_defer` returns, with "share" (of documents that are deferred), "changed" (deferred validation
        documents that get another class) and, if `max_expected_loss` is given, "expected_loss" (points that the others
        are expected to lose); None for a model alone. And the result with the logits of the cascade.
    """
    if not isinstance(model, TokensieveCascadeForSequenceClassification):
        return None, result
    first, lengths = torch.as_tensor(result.logits), validation.lengths.tolist()
    if trained:
        model.share_everything()
    if recipe.max_expected_loss is None:
        fitted = fit_defer(model, first, lengths, False)
    else:
        more = TokenizedDocuments(splits.unlabelled, tokenizer, recipe.max_length)
        labelled, others = (_by_both_stages(model, documents, tokenizer) for documents in (validation, more))
        every = labelled.with_more(others)
        temperature = _temperature(model, labelled.second, result.truth, validation.weights)
        left = fit_share(model, every, temperature, recipe.max_expected_loss)
        fitted, first = fit_defer(model, every.first, every.lengths, False), labelled.first
        fitted = fitted and {**fitted, "expected_loss": left}
    assert fitted is not None
    deferred = model.rule.deferred(first, lengths)
    skipped = [row for row, skips in enumerate(model.rule.skips(lengths)) if skips]
    second = first.clone()
    for rows in (deferred, skipped):
        second[rows] = _answered(model, 1, validation, rows, tokenizer)
    changed = int((first[deferred].argmax(1) != second[deferred].argmax(1)).sum())
    return {**fitted, "share": model.settings.deferred, "changed": changed}, replace(result, logits=second.numpy())


def _temperature(
    model: TokensieveCascadeForSequenceClassification, logits: Tensor, truth: Any, weights: Tensor | None
) -> float:
    """The temperature that calibrates the second stage."""
    multi_label, targets = model.config.is_multi_label, torch.as_tensor(truth)
    targets = targets.float() if multi_label else targets.long()
    return best_temperature(logits, targets, multi_label=multi_label, weights=weights)


def _by_both_stages(
    model: TokensieveCascadeForSequenceClassification, documents: TokenizedDocuments, tokenizer: Any
) -> BothStages:
    """The logits of all documents by both stages."""
    first, second = (_answered(model, stage, documents, range(len(documents)), tokenizer) for stage in (0, 1))
    return BothStages(first, second, documents.lengths.tolist(), documents.weights)


@torch.no_grad()
def _answered(
    model: TokensieveCascadeForSequenceClassification,
    stage: int,
    documents: TokenizedDocuments,
    rows: Sequence[int],
    tokenizer: Any,
) -> Tensor:
    """Logits [N, C] float32 of some documents by one stage, as at inference."""
    order, training = sorted(rows, key=lambda row: int(documents.lengths[row])), model.training
    places = {row: place for place, row in enumerate(rows)}
    logits = torch.zeros(len(rows), model.config.num_labels or 0)
    model.train(False)
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        batch = padded([documents[row] for row in chosen], tokenizer, model.device)
        logits[[places[row] for row in chosen]] = model.read_alone(stage, **batch).logits.float().cpu()
    model.train(training)
    return logits
