"""The loop of a cascade: each stage answers what the one before deferred to it.

A stage is a plain classifier: documents in, answers out, a batch at a time. Each stage decides how its documents are
batched and what its answers hold, so an encoder may come after a bag of words. Cascades of classifiers by confidence
are old (Viola and Jones, CVPR 2001).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Protocol, TypeVar

from torch import Tensor

from tokensieve.cascade.defer import Defer


class HasLogits(Protocol):
    """Answers to some documents: anything with logits, or the logarithms of probabilities, [B, C]."""

    @property
    def logits(self) -> Tensor:
        """[B, C]."""
        ...


Answer = TypeVar("Answer", bound=HasLogits)
Answer_co = TypeVar("Answer_co", bound=HasLogits, covariant=True)


class Stage(Protocol[Answer_co]):
    """A classifier of a cascade."""

    def __call__(self, documents: Sequence[int]) -> Iterable[tuple[list[int], Answer_co]]:
        """Answer the documents of these numbers, batch by batch: the numbers in the batch, and its answers.

        Without documents there is no batch.
        """
        ...


def run_cascade(
    stages: Sequence[Stage[Answer]], rules: Sequence[Defer], lengths: Sequence[int]
) -> Iterator[tuple[int, list[int], Answer]]:
    """Run the stages; yield of every batch the number of its stage, the numbers of its documents, and their answers.

    A deferred document is yielded once more by the next stage. Its last answer counts.

    Args:
        stages: the cheapest first.
        rules: when each stage but the last one defers a document.
        lengths: tokens of each document.
    """
    documents = list(range(len(lengths)))
    for number, (stage, rule) in enumerate(zip_longest(stages, rules)):
        onward: list[int] = []
        if rule is not None:
            skipped = rule.skips([lengths[document] for document in documents])
            onward = [document for document, skips in zip(documents, skipped, strict=True) if skips]
            documents = [document for document, skips in zip(documents, skipped, strict=True) if not skips]
        for batch, answers in stage(documents):
            yield number, batch, answers
            if rule is not None:
                onward += [batch[row] for row in rule.deferred(answers.logits, [lengths[i] for i in batch])]
        documents = onward
