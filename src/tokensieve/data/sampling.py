"""Choice of documents: a validation split carved off the training documents, and fair samples; always the same."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from tokensieve.data.documents import Document
from tokensieve.data.rows import list_names, shorten
from tokensieve.errors import ConfigError, DataError

_Text = tuple[str, str | None]


def labels_of(document: Document) -> tuple[str, ...]:
    """The labels of a document that was read with labels: the one, or any number in multi-label data.

    Raises:
        DataError: It was read without.
    """
    if document.label is None:
        raise DataError(f"{document.source}, line {document.line}: the document has no label; read it with labels")
    return (document.label,) if isinstance(document.label, str) else document.label


def contradiction(documents: Sequence[Document]) -> str | None:
    """The number of texts (with their pairs) that occur under different labels, with an example; None if none does."""
    labels: dict[_Text, set[tuple[str, ...]]] = defaultdict(set)
    for document in documents:
        labels[_text_of(document)].add(tuple(sorted(labels_of(document))))
    contradicted = [(text, sorted(found)) for text, found in labels.items() if len(found) > 1]
    if not contradicted:
        return None
    (text, _), found = contradicted[0]
    names = list_names([" + ".join(names) or "no label" for names in found], limit=3)
    count = f"{len(contradicted)} of {len(labels)} different texts occur"
    return f"{count} under more than one label, such as {shorten(text)} under {names}"


def check_fraction(fraction: Any) -> None:
    """Raise ConfigError unless a share of the documents can become the validation split (0: none does)."""
    if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0 <= fraction <= 0.5:
        raise ConfigError(f"validation_fraction is {fraction!r}; it has to be from 0 to 0.5")


def carve_validation(
    documents: Sequence[Document], fraction: float, seed: int
) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """Part documents into training and validation, each label in its share, both in the order given.

    Documents of the same text (and pair) stay together, as a copy in training would make the validation score a lie.
    A label keeps at least one text for training, so a label with a single one has none in validation; every other
    label has at least one there, which for many small labels takes more than `fraction`.

    A document of several labels counts for the rarest of them, and documents of no label are a group of their own.
    Common labels so come close to their share by themselves; a label that training would lack takes one text back.

    Raises:
        DataError: No label has two texts.
    """
    from sklearn.model_selection import train_test_split

    texts, labels = _partable_texts(documents)
    classes = len(set(labels))
    if not texts:
        contradicted = contradiction(documents)
        why = f"{contradicted}, and no label has two others" if contradicted else "no label has two different documents"
        raise DataError(
            f"no validation split can be carved off, as {why}; {'correct the labels, ' if contradicted else ''}"
            "give a validation file, more documents, or no validation split (--set data.validation_fraction=0, Python: "
            "validation_fraction=0)"
        )
    size = max(round(fraction * len(texts)), classes)
    _, held_out = train_test_split(texts, test_size=size, stratify=labels, random_state=seed)
    held = _without_lost_labels(documents, set(held_out))
    train = tuple(document for document in documents if _text_of(document) not in held)
    validation = tuple(document for document in documents if _text_of(document) in held)
    return train, validation


def sample_by_label(documents: Sequence[Document], limit: int | None) -> tuple[Document, ...]:
    """At most `limit` documents, each label in its share and at least once if `limit` allows; in the order given.

    The choice follows from the documents alone, and a larger limit only adds to it. A document of several labels
    counts for the rarest of them, as in `carve_validation`.
    """
    if _holds_all(documents, limit):
        return tuple(documents)
    members: dict[str, list[int]] = defaultdict(list)
    mixed = sorted(range(len(documents)), key=lambda index: digest(documents[index]))
    for index, label in zip(mixed, _rarest([labels_of(documents[index]) for index in mixed]), strict=True):
        members[label].append(index)
    ranked: list[tuple[float, str, int]] = []
    for label, indices in members.items():
        # The k-th of n documents of a label comes at k/n of the way, so any prefix has the labels in proportion.
        ranked += [(rank / len(indices), label, index) for rank, index in enumerate(indices)]
    order = dict.fromkeys([*_one_of_each_label(documents, mixed), *(index for _, _, index in sorted(ranked))])
    return tuple(documents[index] for index in sorted(list(order)[:limit]))


def sample_unlabelled(documents: Sequence[Document], limit: int | None) -> tuple[Document, ...]:
    """At most `limit` documents, which need no labels, in the order given; chosen as in `sample_by_label`."""
    if _holds_all(documents, limit):
        return tuple(documents)
    mixed = sorted(range(len(documents)), key=lambda index: digest(documents[index]))
    return tuple(documents[index] for index in sorted(mixed[:limit]))


def _holds_all(documents: Sequence[Document], limit: int | None) -> bool:
    if limit is not None and limit < 1:
        raise ConfigError(f"a limit of {limit} documents; it has to be 1 or more")
    return limit is None or limit >= len(documents)


def digest(document: Document) -> bytes:
    """A hash of the text and its pair: sorting by it gives a mixed order that is the same on every machine."""
    # No document has the null character, so that two texts joined by it are no other two.
    whole = document.text if document.pair is None else f"{document.text}\0{document.pair}"
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).digest()


def _text_of(document: Document) -> _Text:
    return document.text, document.pair


def _rarest(documents: Sequence[tuple[str, ...]]) -> list[str]:
    """The rarest label of each document; an empty string, which is no label, where it has none."""
    counts = Counter(label for labels in documents for label in labels)
    return [min(labels, key=lambda label: (counts[label], label), default="") for labels in documents]


def _partable_texts(documents: Sequence[Document]) -> tuple[list[_Text], list[str]]:
    """Different texts with their rarest labels.

    They have the same labels wherever they occur, and there are at least two of them to that label.
    """
    labels: dict[_Text, set[frozenset[str]]] = defaultdict(set)
    for document in documents:
        labels[_text_of(document)].add(frozenset(labels_of(document)))
    single = {text: tuple(next(iter(found))) for text, found in labels.items() if len(found) == 1}
    rarest = dict(zip(single, _rarest(list(single.values())), strict=True))
    counts = Counter(rarest.values())
    partable = {text: label for text, label in rarest.items() if counts[label] > 1}
    return list(partable), list(partable.values())


def _without_lost_labels(documents: Sequence[Document], held: set[_Text]) -> set[_Text]:
    """The texts held out, but for one of each label that training would lack; some are always left."""
    left = set(held)
    kept = {label for document in documents if _text_of(document) not in held for label in labels_of(document)}
    for document in documents:
        if _text_of(document) in left and not kept.issuperset(labels_of(document)):
            left.remove(_text_of(document))
            kept.update(labels_of(document))
    return left


def _one_of_each_label(documents: Sequence[Document], order: Iterable[int]) -> list[int]:
    """The first document in an order that has each label, by label."""
    first: dict[str, int] = {}
    for index in order:
        for label in labels_of(documents[index]):
            first.setdefault(label, index)
    return [first[label] for label in sorted(first)]
