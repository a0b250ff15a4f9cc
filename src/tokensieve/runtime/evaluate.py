"""Evaluation: one pass of the engine over labelled documents, scored."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import torch
from torch import Tensor

from tokensieve.data.documents import Document
from tokensieve.data.doubts import unjudged_labels
from tokensieve.data.targets import class_ids, label_matrix
from tokensieve.errors import DataError
from tokensieve.memory import peak_memory_bytes, reset_peak_memory
from tokensieve.metrics import accuracy_and_f1, expected_calibration_error, multi_label_scores, report_per_class
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.probabilities import class_probabilities
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.results import Result, given_labels

logger = logging.getLogger(__name__)

_WARM_UP = 16


def evaluate(classifier: Classifier, documents: Sequence[Document], progress: Any = None) -> dict[str, Any]:
    """Score a classifier on labelled documents.

    Time is that of tokenizing and classifying, after a few documents to warm up; reading is not in it, nor is choosing
    a budget of tokens. Memory is the peak while doing so, of the whole process on CPU, of allocations on CUDA;
    `loaded_memory_bytes` is what was in use before the first document.

    Args:
        classifier: made by `load`.
        documents: labelled.
        progress: wraps the stream of results, such as tqdm.

    Returns:
        Of any classifier: "accuracy", "f1_macro", "f1_micro"; "ece" and "ece_uncalibrated", the expected calibration
        error with the model's "temperature" and with none; "documents", "truncated", "seconds" and
        "documents_per_second"; "batch_tokens" and "dtype", as used; "peak_memory_bytes" and "loaded_memory_bytes";
        "mean_length" and "kept_tokens" (at every step), of the documents that an encoder read, if there are any;
        "stages", the share of the documents that each stage of a cascade answered; "classes", a report on each. Of a
        multi-label one also "mean_labels" and "mean_labels_true", the labels of a document that are given and that are
        true; its accuracy asks that all of them are right.

    Raises:
        DataError: no documents, a label that the classifier does not know, or lists of labels where it takes one.
    """
    if not documents:
        raise DataError("there is no document to evaluate on: give a file with at least one usable row")
    names, multi_label = classifier.labels, classifier.model.config.is_multi_label
    if missing := unjudged_labels(names, documents, "evaluated", multi_label):
        logger.warning("%s", missing)
    truth = label_matrix(documents, names) if multi_label else torch.tensor(class_ids(documents, names))
    engine = classifier.engine
    results, cost = _timed(classifier, documents, progress)
    predicted = given_labels(results, len(names)) if multi_label else torch.tensor([result.label for result in results])
    scores = multi_label_scores if multi_label else accuracy_and_f1
    return {
        **scores(truth, predicted),
        **_calibration(results, truth, classifier.model.config),
        **(_label_counts(truth, predicted) if multi_label else {}),
        "documents": len(documents),
        "truncated": engine.truncated,
        **cost,
        "batch_tokens": engine.budget,
        "dtype": classifier.dtype,
        **_lengths(results),
        "stages": {stage: sum(own.stage == stage for own in results) / len(results) for stage in engine.stages},
        "classes": report_per_class(truth, predicted, names),
    }


def _timed(
    classifier: Classifier, documents: Sequence[Document], progress: Any
) -> tuple[list[Result], dict[str, float]]:
    """The results, and what they cost: seconds, documents a second, and bytes of memory."""
    engine, device = classifier.engine, classifier.model.device
    reset_peak_memory(device)
    loaded = peak_memory_bytes(device)
    engine.classify(documents[:_WARM_UP])
    engine.choose_budget(documents)
    reset_peak_memory(device)  # budgets that were tried are no part of the work
    engine.truncated = 0
    start = time.perf_counter()
    with closing(engine.stream(documents)) as stream:
        results = [result for _, result in (progress(stream) if progress is not None else stream)]
    seconds = time.perf_counter() - start
    return results, {
        "seconds": seconds,
        "documents_per_second": len(documents) / seconds,
        # What was loaded is still there. The system's own figure may have fallen by what else was freed since, or by
        # the few pages to which it counts.
        "peak_memory_bytes": max(loaded, peak_memory_bytes(device)),
        "loaded_memory_bytes": loaded,
    }


def _calibration(results: Sequence[Result], truth: Tensor, config: TokensieveConfig) -> dict[str, float]:
    """Expected calibration error with the model's temperature and with none, and that temperature."""
    logits, temperature = torch.tensor([result.logits for result in results]), config.calibration_temperature
    calibrated, plain = (class_probabilities(logits, config.problem_type, t) for t in (temperature, 1.0))
    return {
        "ece": expected_calibration_error(calibrated, truth),
        "ece_uncalibrated": expected_calibration_error(plain, truth),
        "temperature": temperature,
    }


def _label_counts(truth: Tensor, predicted: Tensor) -> dict[str, float]:
    """Mean number of labels of a document: given, and true."""
    return {"mean_labels": float(predicted.sum(1).mean()), "mean_labels_true": float(truth.sum(1).mean())}


def _lengths(results: Sequence[Result]) -> dict[str, Any]:
    """Mean length and mean tokens kept, of the documents that an encoder read; without any, of all."""
    read = [result for result in results if result.kept] or results
    return {"mean_length": sum(result.length for result in read) / len(read), "kept_tokens": mean_kept(read)}


def mean_kept(results: Sequence[Result]) -> list[float]:
    """Mean tokens kept at every step, over the documents."""
    return [sum(step) / len(results) for step in zip(*(result.kept for result in results), strict=True)]
