"""Texts whose class one of their words tells."""

import random
from collections.abc import Callable
from typing import Any

from tokensieve import TokensieveClassifier

LABELS = ("film", "law", "team")
FILLERS = ("the", "a", "of", "in", "to", "and", "is", "was", "not", "good", "bad")
Make = Callable[..., TokensieveClassifier]
FAST: dict[str, Any] = {
    "learning_rate": 3e-3,
    "epochs": 1,
    "batch_size": 8,
    "max_length": 16,
    "validation_fraction": 0.0,
    "device": "cpu",
}
LEARNS: dict[str, Any] = {"preset": "paper-p", "learning_rate": 2e-3, "epochs": 8, "batch_size": 4}


def texts_and_labels(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts of 2 to 5 words, one of which is the label; labels in turn."""
    generator = random.Random(seed)
    labels = [LABELS[number % len(LABELS)] for number in range(count)]
    texts = []
    for label in labels:
        words = generator.choices(FILLERS, k=generator.randint(1, 4))
        words.insert(generator.randint(0, len(words)), label)
        texts.append(" ".join(words))
    return texts, labels
