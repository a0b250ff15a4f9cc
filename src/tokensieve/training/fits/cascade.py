"""Fitting a cascade to the validation documents of a training, by `tokensieve.cascade.fit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tokensieve.cascade.classifier import TokensieveCascadeForSequenceClassification
from tokensieve.cascade.fit import BothStages, fit_defer, fit_share
from tokensieve.config import ReductionConfig
from tokensieve.data.documents import Document
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.errors import ConfigError
from tokensieve.model.probabilities import best_temperature
from tokensieve.training.fits.sample import padded
from tokensieve.training.recipe import Recipe

_BATCH = 32


def check_cascade(settings: ReductionConfig, recipe: Recipe, documents: int) -> None:
    """Refuse a cascade without validation documents to be fitted to, and `max_expected_loss` without a cascade.

    Raises:
        ConfigError: either of them.
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


def fit_to_validation(
    model: TokensieveCascadeForSequenceClassification,
    logits: Any,
    truth: Any,
    documents: TokenizedDocuments,
    tokenizer: Any,
    recipe: Recipe,
    unlabelled: Sequence[Document] = (),
    *,
    trained: bool,
) -> tuple[dict[str, float], Any]:
    """Fit a cascade to the validation documents of a run, and answer these by the cascade, for calibration.

    Args:
        model: on its device.
        logits: [N, C] of the validation documents by the first stage.
        truth: their class ids [N], or 0/1 labels [N, C].
        documents: the validation documents.
        tokenizer: pads.
        recipe: with `max_expected_loss` the share is fitted first.
        unlabelled: documents that serve for that, too.
        trained: the first stage's weights were trained; the second stage then shares them all.

    Returns:
        What `fit_defer` returns, with "share" (of documents that are deferred), "changed" (deferred validation
        documents that get another class, or with several labels another set of them at probability 0.5) and, if
        `max_expected_loss` is given, "expected_loss" (points that the others are expected to lose). And the logits of
        the cascade, [N, C] float32.
    """
    first, lengths = torch.as_tensor(logits), documents.lengths.tolist()
    if trained:
        model.share_everything()
    if recipe.max_expected_loss is None:
        fitted = fit_defer(model, first, lengths, False)
    else:
        more = TokenizedDocuments(unlabelled, tokenizer, recipe.max_length)
        labelled, others = (_by_both_stages(model, each, tokenizer) for each in (documents, more))
        every = labelled.with_more(others)
        temperature = _temperature(model, labelled.second, truth, documents.weights)
        left = fit_share(model, every, temperature, recipe.max_expected_loss)
        fitted, first = fit_defer(model, every.first, every.lengths, False), labelled.first
        fitted = fitted and {**fitted, "expected_loss": left}
    assert fitted is not None
    deferred = model.rule.deferred(first, lengths)
    skipped = [row for row, skips in enumerate(model.rule.skips(lengths)) if skips]
    second = first.clone()
    for rows in (deferred, skipped):
        second[rows] = _answered(model, 1, documents, rows, tokenizer)
    changed = _changed(first[deferred], second[deferred], model.config.is_multi_label)
    return {**fitted, "share": model.settings.deferred, "changed": changed}, second.numpy()


def _changed(first: Tensor, second: Tensor, multi_label: bool) -> int:
    """How many documents get another answer by the second logits [N, C] than by the first ones."""
    if multi_label:
        return int(((first > 0) != (second > 0)).any(1).sum())
    return int((first.argmax(1) != second.argmax(1)).sum())


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
