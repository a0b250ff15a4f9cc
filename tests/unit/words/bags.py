"""Small bags of words, and documents for them."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from tokensieve.words import WordsClassifier, WordsSettings

LABELS = ("film", "law", "team")
FILLERS = ["the", "a", "of", "in", "to", "and", "is", "was", "not", "good", "bad"]


def labelled_texts(count: int, seed: int = 0, classes: int = 3) -> tuple[list[str], list[int]]:
    """Texts of which a word tells the label, and the class ids."""
    generator = random.Random(seed)
    ids = [number % classes for number in range(count)]
    texts = []
    for number in ids:
        words = [*generator.choices(FILLERS, k=generator.randint(1, 20)), LABELS[number]]
        generator.shuffle(words)
        texts.append(" ".join(words))
    return texts, ids


def matrix_of(ids: Sequence[int], classes: int = 3) -> Any:
    """Class ids as 0 and 1 [N, C]; every fourth document has a second label."""
    matrix = np.eye(classes, dtype=int)[list(ids)]
    matrix[::4, 0] = 1
    return matrix


def fitted(kind: str = "single", count: int = 60, **settings: Any) -> tuple[WordsClassifier, list[Any]]:
    """A classifier of a kind (single, binary, multi, one label, pairs), and texts that it has not seen."""
    classes = 2 if kind == "binary" else 3
    texts, ids = labelled_texts(count, classes=classes)
    unseen, others = labelled_texts(20, seed=1, classes=classes)
    labels: Sequence[str] = LABELS[:classes]
    given: Any = texts
    new: list[Any] = list(unseen)
    targets: Any = ids
    validation: Any = (unseen, others)
    if kind == "pairs":
        given = [(text, f"second {text[::-1]}") for text in texts]
        new = [(text, f"second {text[::-1]}") for text in unseen]
        validation = (new, others)
    if kind == "multi":
        targets, validation = matrix_of(ids), (unseen, matrix_of(others))
    if kind == "one label":
        labels, targets = LABELS[:1], np.array(ids)[:, None] == 0
        validation = (unseen, np.array(others)[:, None] == 0)
    found = WordsClassifier.fit(given, targets, labels, validation=validation, settings=WordsSettings(**settings))
    return found, new


KINDS = ("single", "binary", "multi", "one label", "pairs")
