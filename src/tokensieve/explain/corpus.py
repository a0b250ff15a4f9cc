"""Figures over all documents: words kept and dropped by class, agreement with dense, confusion, calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokensieve.explain.reading import Explained
from tokensieve.metrics import expected_calibration_error

MOST_WORDS = 12
"""Words of each list."""
MOST_CLASSES = 20
"""Classes of a confusion matrix, and of the table of words."""
LEAST = 2
"""Documents in which a word has to stand to be listed."""
BINS = 10
"""Bins of the calibration curve."""


@dataclass(frozen=True)
class WordCount:
    """A word of one class.

    Attributes:
        word: in lower case.
        kept: documents in which it survived at least once.
        documents: documents in which the encoder read it.
    """

    word: str
    kept: int
    documents: int

    @property
    def dropped(self) -> int:
        """Documents in which it left everywhere."""
        return self.documents - self.kept


@dataclass(frozen=True)
class ClassWords:
    """The words of the documents that were given one label.

    Attributes:
        label: its name.
        documents: how many were given it, and read by an encoder.
        kept: words that survive in more documents than chance lets expect, the farthest first.
        dropped: words that survive in fewer.
    """

    label: str
    documents: int
    kept: tuple[WordCount, ...]
    dropped: tuple[WordCount, ...]


def words_by_class(found: Sequence[Explained], labels: Sequence[str]) -> list[ClassWords]:
    """Words most often kept and dropped, by the label given; classes with most documents first, `MOST_CLASSES` of them.

    A word is listed by how many documents it survives in beyond what is expected of a word at the mean rate of its
    class. Words of fewer than `LEAST` documents, and those without a letter or digit, are left out.
    """
    classes = []
    for number, label in enumerate(labels):
        own = [one for one in found if number in one.result.labels and one.readings]
        if own:
            classes.append(_class_words(label, own))
    return sorted(classes, key=lambda one: -one.documents)[:MOST_CLASSES]


def _class_words(label: str, found: Sequence[Explained]) -> ClassWords:
    read, kept = Counter[str](), Counter[str]()
    for one in found:
        texts = (one.document.text, one.document.pair or "")
        own: dict[str, bool] = {}
        for word in one.readings[0].words:  # a later encoder of a cascade prunes less, or nothing
            text = texts[word.part][word.start : word.end].lower()
            own[text] = own.get(text, False) or word.survives
        read.update(own.keys())  # of a mapping, it would add the values
        kept.update(text for text, survives in own.items() if survives)
    rate = kept.total() / max(1, read.total())
    listed = [
        WordCount(text, kept[text], count)
        for text, count in read.items()
        if count >= LEAST and any(character.isalnum() for character in text)
    ]
    ranked = sorted(listed, key=lambda own: (rate * own.documents - own.kept, -own.documents, own.word))
    most = tuple(own for own in ranked[:MOST_WORDS] if own.kept > rate * own.documents)
    least = tuple(own for own in ranked[::-1][:MOST_WORDS] if own.kept < rate * own.documents)
    return ClassWords(label, len(found), most, least)


@dataclass(frozen=True)
class Judged:
    """What the true labels say.

    Attributes:
        right: documents whose labels are all right.
        dense_right: the same of dense; None without it.
        confusion: [true, given] counts, of the classes in `classes`; None for several labels a document.
        classes: numbers of the classes that occur, the most frequent `MOST_CLASSES`.
        curve: of each bin of confidence that has documents: mean confidence, share right, how many.
        ece: expected calibration error.
    """

    right: int
    dense_right: int | None
    confusion: np.ndarray | None
    classes: tuple[int, ...]
    curve: tuple[tuple[float, float, int], ...]
    ece: float


def truth_of(one: Explained) -> set[str] | None:
    """The true labels of a document; None where it was read without."""
    label = one.document.label
    return None if label is None else {label} if isinstance(label, str) else set(label)


def is_right(one: Explained, labels: Sequence[str]) -> bool | None:
    """Whether all labels of a document are right; None without true ones."""
    truth = truth_of(one)
    return None if truth is None else truth == {labels[number] for number in one.result.labels}


def judge(found: Sequence[Explained], labels: Sequence[str], dense_labels: Sequence[str] = ()) -> Judged | None:
    """Compare answers with the true labels; None where the documents have none.

    Args:
        found: documents, all with labels or none.
        labels: of the classifier.
        dense_labels: of dense, in its order.
    """
    if not found or found[0].document.label is None:
        return None
    multi = not isinstance(found[0].document.label, str)
    known = {label: number for number, label in enumerate(labels)}
    probabilities = np.array([one.result.probabilities for one in found])
    truth: Any = np.zeros(probabilities.shape, dtype=np.int64)
    for row, one in zip(truth, found, strict=True):
        row[[known[label] for label in truth_of(one) or () if label in known]] = 1
    ids = truth if multi else truth.argmax(1)
    confusion, classes = None, tuple[int, ...]()
    if not multi:
        confusion, classes = _confusion(ids, np.array([one.result.label for one in found]))
    dense = [one for one in found if one.dense is not None]
    right_by_dense = sum(
        truth_of(one) == {dense_labels[number] for number in one.dense.labels} for one in dense if one.dense
    )
    return Judged(
        right=sum(bool(is_right(one, labels)) for one in found),
        dense_right=right_by_dense if dense else None,
        confusion=confusion,
        classes=classes,
        curve=_curve(probabilities, ids),
        ece=expected_calibration_error(probabilities, ids),
    )


def _confusion(truth: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """[true, given] of the classes that occur most, and their numbers in ascending order."""
    counts = Counter(truth.tolist()) + Counter(given.tolist())
    classes = tuple(sorted(number for number, _ in counts.most_common(MOST_CLASSES)))
    pairs = Counter(zip(truth.tolist(), given.tolist(), strict=True))
    return np.array([[pairs[true, other] for other in classes] for true in classes]), classes


def _curve(probabilities: np.ndarray, truth: np.ndarray) -> tuple[tuple[float, float, int], ...]:
    """Mean confidence, share right and count of each bin, as `expected_calibration_error` takes them."""
    if truth.ndim == 1:
        sure, right = probabilities.max(1), probabilities.argmax(1) == truth
    else:
        sure, right = probabilities.ravel(), truth.ravel() > 0
    number = np.clip(np.ceil(sure * BINS).astype(int) - 1, 0, BINS - 1)
    return tuple(
        (float(sure[number == one].mean()), float(right[number == one].mean()), int((number == one).sum()))
        for one in range(BINS)
        if (number == one).any()
    )


def mean_kept(found: Sequence[Explained]) -> list[tuple[str, float]]:
    """Mean tokens before the first layer and after each one, of the documents that the first encoder read."""
    readings = [one.readings[0] for one in found if one.readings]
    if not readings:
        return []
    layers = readings[0].layers
    same = [own for own in readings if own.layers == layers]
    rows = [("0", sum(own.length for own in same) / len(same))]
    return rows + [(str(layer), sum(own.kept[place] for own in same) / len(same)) for place, layer in enumerate(layers)]


def in_order(found: Sequence[Explained], labels: Sequence[str]) -> list[Explained]:
    """Documents on which dense disagrees; then wrong ones, ones whose label does not stand, deferred ones, the rest."""
    return sorted(
        found,
        key=lambda one: (
            one.dense_agrees,
            is_right(one, labels) is not False,
            one.check is None or one.check.stands,
            not one.deferred,
            one.number,
        ),
    )
