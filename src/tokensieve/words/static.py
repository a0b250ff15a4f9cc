"""A second floor: the mean of a backbone's word vectors over a document's tokens, and logistic regression on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.words.regression import choose, fit_regression, logits_of, score, targets_of
from tokensieve.words.weights import checked_weights, regression_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

INVERSE_PENALTIES = (0.1, 0.01)
"""Candidates for C; each coordinate of the means has variance 1."""


def mean_vectors(embeddings: Tensor, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """The mean of the vectors of each document's tokens, [N, d] float32; zeros for a document without tokens.

    Args:
        embeddings: [vocabulary, d].
        ids: token ids of each document, without special tokens.
    """
    lengths = torch.tensor([len(row) for row in ids])
    flat = torch.tensor([token for row in ids for token in row], dtype=torch.int64)
    starts = lengths.cumsum(0) - lengths
    with torch.no_grad():
        return F.embedding_bag(flat, embeddings.detach().float().cpu(), starts, mode="mean").numpy()


class StaticClassifier:
    """Logistic regression on mean vectors.

    Attributes:
        scaler: scikit-learn's StandardScaler.
        regression: scikit-learn's LogisticRegression.
        inverse_penalty: C, as chosen.
        multi_label: whether a document has any number of labels.
    """

    def __init__(self, scaler: Any, regression: Any, inverse_penalty: float, multi_label: bool) -> None:
        self.scaler, self.regression = scaler, regression
        self.inverse_penalty, self.multi_label = inverse_penalty, multi_label

    @classmethod
    def fit(
        cls,
        vectors: NDArray[np.float32],
        targets: ArrayLike,
        classes: int,
        *,
        validation: tuple[NDArray[np.float32], ArrayLike] | None = None,
        validation_weight: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        class_weight: ArrayLike | None = None,
    ) -> StaticClassifier:
        """Fit to the mean vectors [N, d] of labelled documents.

        Args:
            vectors: as `mean_vectors` gives them.
            targets: class ids [N], or 0 and 1 [N, C].
            classes: C.
            validation: vectors and targets that choose the penalty.
            validation_weight: of the validation documents; None: each counts once.
            sample_weight: how many times each document counts, [N]; None: once.
            class_weight: [C], for one label a document: what the weights of its documents are multiplied by in the
                regression.

        Raises:
            DataError: all documents have the same labels, or targets do not fit.
        """
        from sklearn.preprocessing import StandardScaler

        wanted = targets_of(targets, classes, len(vectors))
        weight = checked_weights(sample_weight, len(vectors))
        if weight is not None:
            kept = np.flatnonzero(weight)
            vectors, wanted, weight = vectors[kept], wanted.at(kept), weight[kept]
        in_regression = regression_weights(weight, class_weight, wanted)
        scaler = StandardScaler().fit(vectors, sample_weight=weight)
        scaled = scaler.transform(vectors)
        fitted = {}

        def try_out(penalty: float) -> float:
            fitted[penalty] = fit_regression(scaled, wanted, penalty, in_regression, dense=True)
            if validation is None:
                return 0.0
            judged = targets_of(validation[1], classes, len(validation[0]))
            logits = logits_of(fitted[penalty], scaler.transform(validation[0]), wanted.multi_label)
            return score(logits, judged, checked_weights(validation_weight, len(logits), "validation_weight"))

        penalty = INVERSE_PENALTIES[0] if validation is None else choose(INVERSE_PENALTIES, try_out)
        if penalty not in fitted:
            try_out(penalty)
        return cls(scaler, fitted[penalty], penalty, wanted.multi_label)

    def logits(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [N, C] float32 of mean vectors [N, d]."""
        return logits_of(self.regression, self.scaler.transform(vectors), self.multi_label)
