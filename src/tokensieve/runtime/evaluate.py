"""Evaluation: one pass of the engine over labelled documents, scored."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from tokensieve.data.documents import Document
from tokensieve.data.tokenize import class_ids
from tokensieve.errors import DataError
from tokensieve.memory import peak_memory_bytes, reset_peak_memory
from tokensieve.metrics import accuracy_and_f1, report_per_class
from tokensieve.runtime.engine import Result
from tokensieve.runtime.load import Classifier

_WARM_UP = 16


def evaluate(classifier: Classifier, documents: Sequence[Document], progress: Any = None) -> dict[str, Any]:
    """Score a classifier on labelled documents.

    Time is that of tokenizing and classifying, after a few documents to warm up; reading is not in it. Memory is the
    peak while doing so, of the whole process on CPU, of allocations on CUDA; `loaded_memory_bytes` is what was in use
    before the first document.

    Args:
        classifier: made by `load`.
        documents: labelled.
        progress: wraps the stream of results, such as tqdm.

    Raises:
        DataError: no documents, or a label that the classifier does not know.
    """
    if not documents:
        raise DataError("there is no document to evaluate on: give a file with at least one usable row")
    truth = class_ids(documents, classifier.labels)
    device = classifier.model.device
    reset_peak_memory(device)
    loaded = peak_memory_bytes(device)
    classifier.engine.classify([document.text for document in documents[:_WARM_UP]])
    classifier.engine.truncated = 0
    start = time.perf_counter()
    stream: Iterable[tuple[Document, Result]] = classifier.engine.stream(documents)
    results = [result for _, result in (progress(stream) if progress is not None else stream)]
    seconds = time.perf_counter() - start
    predicted = [result.label for result in results]
    return {
        **accuracy_and_f1(truth, predicted),
        "documents": len(documents),
        "truncated": classifier.engine.truncated,
        "seconds": seconds,
        "documents_per_second": len(documents) / seconds,
        "peak_memory_bytes": peak_memory_bytes(device),
        "loaded_memory_bytes": loaded,
        "mean_length": sum(result.length for result in results) / len(results),
        "kept_tokens": mean_kept(results),
        "classes": report_per_class(truth, predicted, classifier.labels),
    }


def mean_kept(results: Sequence[Result]) -> list[float]:
    """Mean tokens kept at every step, over the documents."""
    return [sum(step) / len(results) for step in zip(*(result.kept for result in results), strict=True)]
