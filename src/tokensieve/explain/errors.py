"""Wrong answers to labelled documents, for the page of a run."""

from __future__ import annotations

from collections.abc import Sequence

from tokensieve.data.documents import Document
from tokensieve.explain.run import Error
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.results import Result

SHOWN = 300
"""Characters of a text."""


def errors_of(classifier: Classifier, documents: Sequence[Document]) -> list[Error]:
    """The documents that are answered wrongly, in their order.

    Args:
        classifier: made by `load`.
        documents: with labels that it knows.
    """
    found = []
    for document, result in classifier.engine.stream(documents):
        label = document.label
        truth = {label} if isinstance(label, str) else set(label or ())
        given = {classifier.labels[number] for number in result.labels}
        if truth != given:
            text = document.text if document.pair is None else f"{document.text} | {document.pair}"
            margin = _margin(classifier.labels, result, truth, given)
            found.append(Error(document.line, tuple(sorted(truth)), tuple(sorted(given)), margin, text[:SHOWN]))
    return found


def _margin(labels: Sequence[str], result: Result, truth: set[str], given: set[str]) -> float:
    """How sure the error is: the wrong label's probability above the missed one's, in [-1, 1]."""
    by_label = dict(zip(labels, result.probabilities, strict=True))
    wrong = max((by_label[label] for label in given - truth), default=0.0)
    missed = min((by_label.get(label, 0.0) for label in truth - given), default=0.0)
    return wrong - missed
