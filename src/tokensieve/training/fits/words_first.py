"""A bag of words as the first stage: fitted to the validation documents after the model is trained and calibrated."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from tokensieve.cascade.fit_words import fit_words_first
from tokensieve.cascade.words_first import WordsFirst
from tokensieve.data.weights import weights_of
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.probabilities import class_probabilities
from tokensieve.training.compare import compare, in_points
from tokensieve.training.fits.bag import targets_of, texts_of
from tokensieve.training.fits.calibration import best_thresholds
from tokensieve.training.job import TrainingJob
from tokensieve.words import WordsClassifier

logger = logging.getLogger(__name__)

_DEAR = 0.9
"""Where the model reads a larger share of the documents, the first stage hardly saves anything."""


def fit_words_stage(
    job: TrainingJob, config: TokensieveConfig, bag: WordsClassifier, logits: Any
) -> tuple[WordsFirst, dict[str, Any]]:
    """Fit the rule by which a bag of words defers, and the weights of both answers.

    Args:
        job: its recipe tells what may be lost.
        config: of the trained and calibrated model.
        bag: fitted to the training documents.
        logits: [N, C] of the validation documents by the model, or by its cascade.

    Returns:
        The first stage, and what the record of the run says of it.
    """
    allowed = job.recipe.words_first
    assert allowed is not None
    truth, counts = targets_of(job.splits, job.splits.validation), weights_of(job.splits.validation)
    weights, texts = None if counts is None else torch.from_numpy(counts), texts_of(job.splits.validation)
    first, wordless = torch.from_numpy(bag.logits(texts)) / bag.temperature, torch.from_numpy(bag.lacks_words(texts))
    encoder = torch.as_tensor(logits).float() / config.calibration_temperature
    kind, classes = bag.problem_type, torch.from_numpy(truth)
    fitted = fit_words_first(first, encoder, classes, kind, allowed, weights, wordless)
    settings, of_words = fitted.settings, None
    if config.is_multi_label and job.recipe.calibrate:
        thresholds, of_words = (
            best_thresholds(class_probabilities(own, kind), classes.float(), weights) for own in (fitted.logits, first)
        )
        settings = replace(settings, thresholds=thresholds)
    metric = job.recipe.compared_by
    against = {
        name: compare(fitted.logits.numpy(), other.numpy(), truth, metric, counts, (settings.thresholds, limits))
        for name, other, limits in (("encoder", encoder, config.thresholds), ("words", first, of_words))
    }
    report = {
        "metric": metric,
        "documents": len(truth),
        "share": fitted.share,
        "below": settings.defer_below,
        "words_weight": settings.words_weight,
        "encoder_weight": settings.encoder_weight,
        "expected_loss": fitted.expected_loss,
        "score": against["encoder"].floor,
        **{f"{name}_score": comparison.encoder for name, comparison in against.items()},
        **{f"difference_to_{name}": comparison.difference for name, comparison in against.items()},
        **{f"interval_to_{name}": list(comparison.interval) for name, comparison in against.items()},
        "interval_by": against["encoder"].method,
    }
    if fitted.share > _DEAR:
        logger.warning(
            "words_first=%g: the encoder has to read %.0f %% of the documents for it, so the bag of words saves next "
            "to nothing: allow more, or leave it out",
            allowed,
            100 * fitted.share,
        )
    for line in first_stage_lines(report):
        logger.info("%s", line)
    return WordsFirst(bag, settings), report


def first_stage_lines(report: Mapping[str, Any] | None) -> list[str]:
    """What a report says, in lines for people."""
    if report is None:
        return []
    metric = report["metric"].replace("_", " ")
    return [
        f"a bag of words answers {1 - report['share']:.1%} of the validation documents, those of a confidence of "
        f"{report['below']:.4f} and more; the encoder reads the others",
        f"{metric} of the whole {report['score']:.4f}: {_points(report, 'encoder')} to the encoder alone "
        f"({report['encoder_score']:.4f}), {_points(report, 'words')} to the bag of words alone "
        f"({report['words_score']:.4f})",
    ]


def _points(report: Mapping[str, Any], name: str) -> str:
    return in_points(report[f"difference_to_{name}"], report[f"interval_to_{name}"])
