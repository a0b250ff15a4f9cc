"""Which documents: a validation split carved off the training documents, and fair samples; the same every time."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from tokensieve.data.documents import Document
from tokensieve.errors import ConfigError, DataError


def label_of(document: Document) -> str:
    """The label of a document that was read with labels.

    Raises:
        DataError: It has none.
    """
    if document.label is None:
        raise DataError(f"{document.source}, line {document.line}: the document has no label; read it with labels")
    return document.label


def check_fraction(fraction: float) -> None:
    """Raise ConfigError unless a share of the documents can become the validation split (0: none does)."""
    if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0 <= fraction <= 0.5:
        raise ConfigError(f"validation_fraction is {fraction!r}; it has to be from 0 to 0.5")


def carve_validation(
    documents: Sequence[Document], fraction: float, seed: int
) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """Part documents into training and validation, each label in its share, both in the order given.

    Documents of the same text stay together, as a copy in training would make the validation score a lie. A label
    keeps at least one text for training, so a label with a single one has none in validation; every other label has
    at least one there, which for many small labels takes more than `fraction`.

    Raises:
        DataError: No label has two texts.
    """
    from sklearn.model_selection import train_test_split

    texts, labels = _partable_texts(documents)
    classes = len(set(labels))
    if not texts:
        raise DataError(
            "no validation split can be carved off, as no label has two different documents; "
            "give a validation file, more documents, or no validation split (validation_fraction=0)"
        )
    size = max(round(fraction * len(texts)), classes)
    _, held_out = train_test_split(texts, test_size=size, stratify=labels, random_state=seed)
    held = set(held_out)
    train = tuple(document for document in documents if document.text not in held)
    validation = tuple(document for document in documents if document.text in held)
    return train, validation


def sample_by_label(documents: Sequence[Document], limit: int | None) -> tuple[Document, ...]:
    """At most `limit` documents, each label in its share and at least once if `limit` allows; in the order given.

    The choice follows from the documents alone, and a larger limit only adds to it.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"a limit of {limit} documents; it has to be 1 or more")
    if limit is None or limit >= len(documents):
        return tuple(documents)
    members: dict[str, list[int]] = defaultdict(list)
    for index, document in enumerate(documents):
        members[label_of(document)].append(index)
    ranked: list[tuple[float, str, int]] = []
    for label, indices in members.items():
        indices.sort(key=lambda index: digest(documents[index]))
        # The k-th of n documents of a label comes at k/n of the way, so any prefix has the labels in proportion.
        ranked += [(rank / len(indices), label, index) for rank, index in enumerate(indices)]
    chosen = sorted(index for _, _, index in sorted(ranked)[:limit])
    return tuple(documents[index] for index in chosen)


def digest(document: Document) -> bytes:
    """A hash of the text: sorting by it gives a mixed order that is the same on every machine."""
    return hashlib.sha256(document.text.encode("utf-8", "surrogatepass")).digest()


def _partable_texts(documents: Sequence[Document]) -> tuple[list[str], list[str]]:
    """Different texts with their labels: those of a single label that has at least two such texts."""
    labels: dict[str, set[str]] = defaultdict(set)
    for document in documents:
        labels[document.text].add(label_of(document))
    single = {text: next(iter(found)) for text, found in labels.items() if len(found) == 1}
    counts = Counter(single.values())
    partable = {text: label for text, label in single.items() if counts[label] > 1}
    return list(partable), list(partable.values())
