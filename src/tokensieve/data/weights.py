"""Weights of documents, which whatever is fitted to labels counts by; None stands for equal ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tokensieve.data.documents import Document
from tokensieve.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def weights_of(documents: Sequence[Document]) -> NDArray[np.float64] | None:
    """The weights [N] of documents; None where each is 1."""
    weights = np.array([document.weight for document in documents], dtype=np.float64)
    return None if (weights == 1).all() else weights


def check_weights(documents: Sequence[Document], name: str) -> None:
    """Refuse weights by which nothing can be fitted.

    Args:
        documents: of one split; none is fine.
        name: of the split, for the message.

    Raises:
        DataError: a weight that is negative or no finite number, or all of them are 0.
    """
    weights = weights_of(documents)
    if weights is None:
        return
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        document = documents[wrong[0]]
        raise DataError(
            f"{document.source}, line {document.line}: the weight is {document.weight!r}; give a finite number of 0 or "
            "more"
        )
    if not weights.any():
        raise DataError(
            f"all {len(weights)} {name} documents have weight 0, so they tell nothing: give one of them a weight above "
            "0, or leave them out"
        )
