"""sample_weight as scikit-learn's users have it -> documents with weights, or one clear error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np

from tokensieve.data.documents import Document
from tokensieve.data.rows import list_names, shorten
from tokensieve.errors import DataError


def weighted(documents: Sequence[Document], sample_weight: Any) -> tuple[Document, ...]:
    """The documents with their weights; those of weight 0 are left out, so that nothing at all is fitted to them.

    Raises:
        DataError: as `read_weights`; or what is left has a single class, or no label.
    """
    weights = read_weights(sample_weight, len(documents))
    if weights is None:
        return tuple(documents)
    pairs = zip(documents, weights.tolist(), strict=True)
    left = tuple(replace(document, weight=weight) for document, weight in pairs if weight > 0)
    labels = {document.label for document in left}
    if labels == {()} or (len(labels) == 1 and isinstance(left[0].label, str)):
        held = "no label" if labels == {()} else f"one class, {list_names([str(left[0].label)])}"
        raise DataError(
            f"sample_weight is above 0 for {len(left)} of {len(documents)} documents, which have {held}: give "
            "documents of at least two classes a weight above 0"
        )
    return left


def read_weights(sample_weight: Any, documents: int) -> np.ndarray | None:
    """The weights [N] float64 of documents; None for equal ones.

    Weights that are below 1 on average, as those of boosting are, whose sum is 1, are scaled to a mean of 1: else the
    penalties and priors of what is fitted would count for more than the documents. Weights of 0 are left out of that
    average, so that whole numbers, which are counts, are never scaled.

    Args:
        sample_weight: array-like [N], finite numbers of 0 or more; None: equal ones.
        documents: N.

    Raises:
        DataError: another number of them, values that are no such numbers, or all are 0.
    """
    if sample_weight is None:
        return None
    weights = _numbers(sample_weight, documents)
    counted = weights[weights > 0]
    if not len(counted):
        raise DataError(
            f"sample_weight is zero for all {documents} documents, and none is left to train on: {_remedy(documents)}"
        )
    if counted.max() <= 1 and counted.min() == counted.max():
        return None if len(counted) == documents else (weights > 0).astype(np.float64)
    scaled: np.ndarray = weights / min(1.0, float(counted.mean()))
    return scaled


def _numbers(sample_weight: Any, documents: int) -> np.ndarray:
    try:
        found = np.asarray(sample_weight)
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"sample_weight cannot be used ({reason}): {_remedy(documents)}") from error
    if found.shape != (documents,):
        raise DataError(f"sample_weight has the shape {list(found.shape)}: {_remedy(documents)}")
    for place, value in enumerate(found.tolist() if found.dtype.kind in "biuf" else sample_weight):
        number = isinstance(value, Real)
        if not number or not 0 <= float(value) < np.inf:
            what = f"{value!r}" if number else f"{type(value).__name__} {shorten(value)}"
            raise DataError(f"sample_weight[{place}] is {what}: {_remedy(documents)}")
    return found.astype(np.float64)


def _remedy(documents: int) -> str:
    return f"give a finite number of 0 or more for each of the {documents} documents, or None for equal weights"
