"""Documents whose label one of their words tells."""

import random
from collections.abc import Callable
from typing import Any

from tokensieve.data import Document

LABELS = ("film", "law", "team")
FILLERS = "the a of in to and is was not good bad"
Train = Callable[..., dict[str, Any]]


def labelled_documents(count: int, seed: int = 0, shares: tuple[int, ...] = (1, 1, 1)) -> tuple[Document, ...]:
    """Texts of 1 to 21 words, one of which is the label; `shares` says how often each label comes."""
    generator = random.Random(seed)
    cycle = [label for label, share in zip(LABELS, shares, strict=True) for _ in range(share)]
    documents = []
    for number in range(count):
        words = generator.choices(FILLERS.split(), k=generator.randint(0, 20))
        label = cycle[number % len(cycle)]
        words.insert(generator.randint(0, len(words)), label)
        documents.append(Document(" ".join(words), label, "made up", number + 1))
    return tuple(documents)
