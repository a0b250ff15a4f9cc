"""Few-shot tasks: which test documents a logistic regression gets right that was fitted to a few vectors a label.

The encoder is frozen: its vectors are the features. The labels of a task have k shots each, drawn several times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tokensieve.data.documents import Document
from tokensieve.data.sampling import sample_by_label
from tokensieve.data.splits import DataSplits, load_splits
from tokensieve.errors import DataError

INVERSE_PENALTY = 10.0
"""C of scikit-learn's logistic regression on vectors of length 1. At 5 and 10 shots a label 10 is better than 1, by 4
points on banking77, and no worse than 100."""
STEPS = 1000


@dataclass(frozen=True)
class FewShotTask:
    """Documents of a task, each read once for all draws.

    Attributes:
        name: of the task.
        documents: those that are drawn in any draw, then the test documents.
        labels: class id of each document, [N].
        draws: [D, C, K] places of the shots among the documents, D draws of K documents for each of C labels. The first
            k of each are a draw of k shots.
        test: [T] places of the test documents.
    """

    name: str
    documents: tuple[Document, ...]
    labels: np.ndarray
    draws: np.ndarray
    test: np.ndarray

    def right(self, vectors: np.ndarray, shots: int) -> np.ndarray:
        """How many draws get each test document right, [T], of vectors [N, d] of the documents."""
        from sklearn.linear_model import LogisticRegression

        counts = np.zeros(len(self.test), dtype=np.int64)
        for draw in self.draws[:, :, :shots]:
            places = draw.ravel()
            head = LogisticRegression(C=INVERSE_PENALTY, max_iter=STEPS)
            head.fit(vectors[places], self.labels[places])
            counts += head.predict(vectors[self.test]) == self.labels[self.test]
        return counts


def few_shot_task(
    name: str,
    train: Sequence[Document],
    test: Sequence[Document],
    *,
    shots: int,
    draws: int,
    seed: int = 0,
    most: int | None = None,
) -> FewShotTask:
    """Draw the shots of a task. The same documents give the same draws.

    Args:
        name: of the task.
        train: labelled documents, of which shots are drawn without replacement.
        test: labelled documents; those with the text of a training document of the same label stay in.
        shots: documents of each label in a draw.
        draws: how often shots are drawn.
        seed: of the draws.
        most: at most so many test documents, each label in its share; None: all.

    Raises:
        DataError: fewer than two labels, a label with fewer training documents than shots, no test documents, or such
            with a label that training lacks.
    """
    names = sorted({str(document.label) for document in train})
    members = [[place for place, one in enumerate(train) if str(one.label) == label] for label in names]
    if len(names) < 2 or not test:
        raise DataError(f"{name}: {len(names)} labels, {len(test)} test documents: give two labels or more, and some")
    for label, places in zip(names, members, strict=True):
        if len(places) < shots:
            raise DataError(
                f"{name}: the label {label!r} has {len(places)} training documents, and {shots} shots are asked for: "
                "give more documents, or fewer shots"
            )
    if unknown := {str(one.label) for one in test} - set(names):
        raise DataError(f"{name}: no training document has the label {min(unknown)!r} of the test documents")
    random = np.random.default_rng(seed)
    drawn = np.array([[random.choice(own, shots, replace=False) for own in members] for _ in range(draws)])
    used, inverse = np.unique(drawn, return_inverse=True)
    tested = sample_by_label(test, most)
    documents = (*(train[place] for place in used), *tested)
    labels = np.array([names.index(str(document.label)) for document in documents])
    tests = np.arange(len(used), len(documents))
    return FewShotTask(name, documents, labels, inverse.reshape(drawn.shape), tests)


def load_task(path: str | Path, *, shots: int, draws: int, seed: int, most: int | None, **reading: Any) -> FewShotTask:
    """Read a task from a file, a folder or a data set, as `load_splits`; its test documents, else its validation ones.

    Args:
        path: as in `load_splits`; a validation split is carved off where there is neither.
        shots: as in `few_shot_task`.
        draws: as in `few_shot_task`.
        seed: as in `few_shot_task`.
        most: as in `few_shot_task`.
        reading: as `load_splits` takes it.

    Raises:
        ConfigError, DataError, MissingExtraError: as `load_splits` and `few_shot_task`.
    """
    splits: DataSplits = load_splits(path, seed=seed, **reading)
    name = Path(path).resolve().name if Path(path).exists() else str(path)
    test = splits.test or splits.validation
    return few_shot_task(name, splits.train, test, shots=shots, draws=draws, seed=seed, most=most)
