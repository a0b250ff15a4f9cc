"""Data that can be used and may mean something else than it says: what to tell the user, as sentences."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from tokensieve.data.documents import Document
from tokensieve.data.rows import list_names, shorten
from tokensieve.data.sampling import contradiction, labels_of

_FEW = 10  # documents; among fewer, each may well have a label of its own
_SEPARATORS = ("|", ";", ",")
# How pandas, numpy and SQL write a missing value as text. "None" and "NA" are left out: they are names, too.
_MISSING = frozenset({"nan", "NaN", "NAN", "<NA>", "NaT", "null", "NULL", "#N/A", "N/A"})
_BITS = re.compile(r"[01]{2,}")
_FRACTION = re.compile(r"[-+]?\d*\.\d+(?:[eE][-+]?\d+)?")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


def doubts(documents: Sequence[Document]) -> Iterator[str]:
    """Likely mistakes in training documents."""
    labels = {label for document in documents for label in labels_of(document)}
    yield from _of_columns(documents, labels)
    yield from _of_labels(labels)
    yield from similar_labels(labels)
    yield from _of_texts(documents)


def _of_columns(documents: Sequence[Document], labels: Collection[str]) -> Iterator[str]:
    """The label column may be another one than is meant."""
    texts = {document.text for document in documents}
    multi_label = isinstance(documents[0].label, tuple)
    if not multi_label and len(documents) >= _FEW and len(labels) > len(documents) / 2:
        swapped = "; text and label columns look swapped" if len(texts) < len(labels) / 2 else ""
        yield (
            f"{len(labels)} different labels for {len(documents)} documents{swapped}: check the label column "
            "(--label-column, label_column=)"
        )
    if all(_NUMBER.fullmatch(text.strip()) for text in texts):
        yield f"all texts are numbers, such as {shorten(documents[0].text)}: check the text column (--text-column)"


def _of_labels(labels: Collection[str]) -> Iterator[str]:
    """A label may be no name of a class."""
    if missing := sorted(label for label in labels if label in _MISSING):
        yield f"read as labels, though they look like missing values: {list_names(missing)}; leave these documents out"
    measured = sorted(label for label in labels if _FRACTION.fullmatch(label) and float(label) % 1)
    if measured and all(_FRACTION.fullmatch(label) or _NUMBER.fullmatch(label) for label in labels):
        yield f"labels look like measurements, such as {measured[0]}: each different number is a class of its own"
    if labels and all(_BITS.fullmatch(label) for label in labels) and len({len(label) for label in labels}) == 1:
        yield f"labels look like rows of indicators, such as {shorten(min(labels))}: give the labels' names"
    for separator in _SEPARATORS:
        whole = {label: [part.strip() for part in label.split(separator)] for label in labels if separator in label}
        composed = sorted(label for label, parts in whole.items() if all(part in labels for part in parts))
        if composed:
            yield (
                f"read as one label each, though {separator!r} seems to divide several: {list_names(composed)}; "
                f"read them with --multi-label --set data.label_separator='{separator}'"
            )


def similar_labels(labels: Collection[str]) -> Iterator[str]:
    """Labels that people take for one: they differ in space, case, or how Unicode writes a character."""
    groups: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        seen = unicodedata.normalize("NFKC", label).casefold()
        groups["".join(c for c in seen if not c.isspace() and unicodedata.category(c) != "Cf")].append(label)
    alike = [sorted(group) for group in groups.values() if len(group) > 1]
    if alike:
        first = ", ".join(list_names(group) for group in sorted(alike)[:5])
        more = f" and {len(alike) - 5} more such groups" if len(alike) > 5 else ""
        yield f"different labels that look alike, each a class of its own: {first}{more}; give one name to a class"


def _of_texts(documents: Sequence[Document]) -> Iterator[str]:
    """One text may have several labels."""
    if found := contradiction(documents):
        yield f"{found}; no model can learn both"


def unjudged_labels(names: Collection[str], documents: Sequence[Document], what: str, multi_label: bool) -> str | None:
    """Report labels that no scored document has, and what that does to the scores.

    Args:
        names: The labels of the classifier.
        documents: The documents that its scores are computed on.
        what: What they are called in the sentence.
        multi_label: A document has any number of labels.

    Returns:
        None where there are no documents, or each label has one.
    """
    missing = sorted(set(names) - {label for document in documents for label in labels_of(document)})
    if not documents or not missing:
        return None
    several = "s" * (len(missing) > 1)
    effect = "counts such a label as 0" if multi_label else "leaves it out unless it is predicted"
    names = list_names(missing)
    return f"no {what} document has the label{several} {names}: no score tells of it, and macro F1 {effect}"
