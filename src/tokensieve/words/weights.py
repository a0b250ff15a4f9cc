"""Weights of texts: checked, and together with those of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tokensieve.errors import DataError
from tokensieve.words.regression import Targets

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def checked_weights(values: ArrayLike | None, texts: int, name: str = "sample_weight") -> NDArray[np.float64] | None:
    """The weights [N] of texts; None for None.

    Args:
        values: the weights.
        texts: N.
        name: for the message.

    Raises:
        DataError: another number of them, one that is negative or no finite number, or all are 0.
    """
    if values is None:
        return None
    found = np.asarray(values, dtype=np.float64)
    if found.shape != (texts,):
        raise DataError(f"{name} has the shape {list(found.shape)}: give one for each of {texts} texts")
    wrong = np.flatnonzero(~(np.isfinite(found) & (found >= 0)))
    if len(wrong):
        raise DataError(f"{name}[{wrong[0]}] is {found[wrong[0]]}: give a finite number of 0 or more")
    if texts and not found.any():
        raise DataError(f"{name} is 0 for all {texts} texts: give one of them a weight above 0")
    return found


def regression_weights(
    sample_weight: NDArray[np.float64] | None, class_weight: ArrayLike | None, targets: Targets
) -> NDArray[np.float64] | None:
    """The weights [N] of documents in a regression: their own times those of their classes.

    Args:
        sample_weight: [N]; None: equal ones.
        class_weight: [C]; None: equal ones.
        targets: of the documents.

    Raises:
        DataError: weights of classes where a document has any number of labels, or another number of them.
    """
    if class_weight is None:
        return sample_weight
    by_class = np.asarray(class_weight, dtype=np.float64)
    if targets.multi_label or by_class.shape != (targets.classes,):
        raise DataError(
            f"class_weight has the shape {list(by_class.shape)}: give one for each of {targets.classes} classes, and "
            "none where a document has any number of labels"
        )
    weights: NDArray[np.float64] = by_class[targets.values]
    return weights if sample_weight is None else weights * sample_weight
