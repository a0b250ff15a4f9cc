"""Logistic regression by scikit-learn, a label at a time, and the choice of its settings by validation documents.

Each label has a regression of its own against all others, which liblinear solves in a fraction of a second. The
multinomial form is no more accurate, and takes over a minute for 250,000 terms and 20 classes (docs/methods/words.md).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from tokensieve.errors import DataError
from tokensieve.model.probabilities import best_temperature

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from sklearn.linear_model import LogisticRegression

_ITERATIONS = 1000


class Targets(NamedTuple):
    """What documents are.

    Attributes:
        values: class ids [N] int64, or 0 and 1 [N, C] int64.
        classes: C.
    """

    values: NDArray[np.int64]
    classes: int

    @property
    def multi_label(self) -> bool:
        """Whether a document has any number of labels."""
        return self.values.ndim == 2

    def at(self, rows: Any) -> Targets:
        """Those of some documents."""
        return self._replace(values=self.values[rows])


def targets_of(values: ArrayLike, classes: int, documents: int) -> Targets:
    """Class ids, or a matrix, checked.

    Raises:
        DataError: another number of documents, ids out of range, or values that are neither 0 nor 1.
    """
    found = np.asarray(values)
    rows, most = (found.shape[:1], classes - 1) if found.ndim == 1 else (found.shape, 1)
    shape = (documents,) if found.ndim == 1 else (documents, classes)
    if rows != shape or not np.isin(found, np.arange(most + 1)).all():
        raise DataError(
            f"targets of shape {list(found.shape)} for {documents} documents and {classes} labels: give class ids "
            f"[{documents}] from 0 to {classes - 1}, or a matrix [{documents}, {classes}] of 0 and 1"
        )
    return Targets(found.astype(np.int64), classes)


def fit_regression(
    matrix: Any,
    targets: Targets,
    inverse_penalty: float,
    sample_weight: NDArray[np.float64] | None = None,
    *,
    dense: bool = False,
) -> LogisticRegression:
    """A regression a label, in one object of scikit-learn; of two classes one regression.

    Args:
        matrix: [N, V], sparse or an array.
        targets: of its rows.
        inverse_penalty: C.
        sample_weight: weight of each document, [N], above 0.
        dense: solve it as fits a few hundred dense columns, in place of many sparse ones.

    Raises:
        DataError: all documents have the same labels.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if not (targets.values != targets.values[:1]).any():
        raise DataError("all training documents have the same labels: there is nothing to learn")
    wide = matrix.astype(np.float64)
    solver: dict[str, Any] = {"solver": "lbfgs", "tol": 1e-3} if dense else {"solver": "liblinear", "dual": True}
    coefficients, intercepts = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for column in _columns(targets):
            if (column == column[0]).all():  # of a label that every document has, or none
                coefficients.append(np.zeros(matrix.shape[1]))
                number = len(column) if sample_weight is None else float(sample_weight.sum())
                intercepts.append(math.copysign(math.log(2 * number + 1), 2 * int(column[0]) - 1))
                continue
            own = LogisticRegression(C=inverse_penalty, max_iter=_ITERATIONS, random_state=0, **solver)
            own.fit(wide, column, sample_weight=sample_weight)
            coefficients.append(own.coef_[0])
            intercepts.append(own.intercept_[0])
    return rebuilt(np.array(coefficients, dtype=np.float32).T, np.array(intercepts, dtype=np.float32), targets.classes)


def rebuilt(coefficients: NDArray[np.float32], intercepts: NDArray[np.float32], classes: int) -> LogisticRegression:
    """A fitted LogisticRegression.

    Args:
        coefficients: [V, K]; K is the number of labels, or 1 for two classes.
        intercepts: [K].
        classes: number of labels.
    """
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(solver="liblinear")
    # scikit-learn multiplies by the transpose: so laid out, it need not be copied each time.
    regression.coef_ = np.ascontiguousarray(coefficients).T
    regression.intercept_ = intercepts
    regression.classes_ = np.arange(classes)
    regression.n_features_in_ = len(coefficients)
    return regression


def logits_of(regression: LogisticRegression, matrix: Any, multi_label: bool) -> NDArray[np.float32]:
    """Logits [N, C] float32: a softmax makes probabilities of them, or with several labels a sigmoid each."""
    scores = np.asarray(regression.decision_function(matrix), dtype=np.float32)
    if scores.ndim == 2:
        return scores
    return scores[:, None] if multi_label else np.stack([-scores / 2, scores / 2], axis=1)


def score(logits: NDArray[np.float32], targets: Targets, sample_weight: NDArray[np.float64] | None = None) -> float:
    """What the choice goes by: accuracy, or with several labels a document micro F1 at probability 0.5."""
    if not targets.multi_label:
        return float(np.average(logits.argmax(1) == targets.values, weights=sample_weight))
    counts = np.ones(len(logits)) if sample_weight is None else sample_weight
    given = logits > 0
    right = 2 * float(counts @ (given & (targets.values == 1)).sum(1))
    return right / (float(counts @ (given.sum(1) + targets.values.sum(1))) or 1.0)


def choose(candidates: Sequence[float], try_out: Callable[[float], float]) -> float:
    """The candidate with the highest score; of equal ones the first."""
    if len(candidates) == 1:
        return candidates[0]
    scores = [try_out(candidate) for candidate in candidates]
    return candidates[int(np.argmax(scores))]


def temperature_of(
    logits: NDArray[np.float32], targets: Targets, sample_weight: NDArray[np.float64] | None = None
) -> float:
    """The temperature that calibrates logits [N, C] on their documents, of which each counts as its weight says."""
    truth = torch.as_tensor(targets.values)
    return best_temperature(
        torch.as_tensor(logits),
        truth.float() if targets.multi_label else truth,
        multi_label=targets.multi_label,
        weights=None if sample_weight is None else torch.as_tensor(sample_weight),
    )


def _columns(targets: Targets) -> list[NDArray[np.int64]]:
    """What each regression tells apart, [N] of 0 and 1."""
    if targets.multi_label:
        return list(targets.values.T)
    if targets.classes == 2:
        return [targets.values]
    return [(targets.values == number).astype(np.int64) for number in range(targets.classes)]
