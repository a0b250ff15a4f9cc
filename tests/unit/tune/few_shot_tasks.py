"""Few-shot tasks of made-up texts, whose label is told by one word among others."""

import random

from tokensieve.data.documents import Document
from tokensieve.tune.few_shot import FewShotTask, few_shot_task

LABELS = {"film": "film", "law": "court", "sport": "team"}
FILLERS = ["the", "a", "of", "in", "to", "and", "is", "was", "not"]


def labelled(number: int, seed: int, source: str = "made") -> list[Document]:
    """So many documents of 2 to 20 words, of three labels by turns."""
    generator = random.Random(seed)
    found = []
    for row in range(number):
        label, word = list(LABELS.items())[row % 3]
        words = [*generator.choices(FILLERS, k=generator.randrange(1, 20)), word]
        generator.shuffle(words)
        found.append(Document(" ".join(words), label, source, row + 1))
    return found


def task(name: str, seed: int, shots: int = 4, draws: int = 3) -> FewShotTask:
    return few_shot_task(name, labelled(60, seed), labelled(45, seed + 100), shots=shots, draws=draws, seed=seed)
