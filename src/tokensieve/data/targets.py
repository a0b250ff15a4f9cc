"""Labels to what a classifier is trained towards and measured by: class ids, or rows of 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tokensieve.data.documents import Document
from tokensieve.data.rows import list_names
from tokensieve.errors import DataError


def class_ids(documents: Sequence[Document], label_names: Sequence[str]) -> list[int]:
    """The place of each document's label among the names.

    Raises:
        DataError: a label that is none of them.
    """
    ids = {name: index for index, name in enumerate(label_names)}
    for document in documents:
        if document.label not in ids:
            raise _unknown_label(document, document.label, label_names)
    return [ids[str(document.label)] for document in documents]


def label_matrix(documents: Sequence[Document], label_names: Sequence[str]) -> Tensor:
    """Targets, ``(documents, names)`` float32: 1 for each name that is a label of the document, else 0.

    Raises:
        DataError: a label that is none of them, or a document with a single label in place of a tuple.
    """
    ids = {name: index for index, name in enumerate(label_names)}
    matrix = torch.zeros(len(documents), len(ids))
    for row, document in enumerate(documents):
        if not isinstance(document.label, tuple):
            raise DataError(
                f"{document.source}, line {document.line}: the label {document.label!r} is no list of labels; "
                "read the documents with --multi-label (multi_label=True)"
            )
        for label in document.label:
            if label not in ids:
                raise _unknown_label(document, label, label_names)
            matrix[row, ids[label]] = 1.0
    return matrix


def _unknown_label(document: Document, label: object, label_names: Sequence[str]) -> DataError:
    return DataError(
        f"{document.source}, line {document.line}: the label {label!r} is none of "
        f"{list_names(label_names)}; correct it or leave the document out"
    )
