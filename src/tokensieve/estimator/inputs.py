"""X and y as scikit-learn's users have them -> documents and classes, or one clear error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from tokensieve.data.documents import Document
from tokensieve.data.rows import Columns, Defect, LabelRule, Row, list_names, shorten, to_document
from tokensieve.errors import DataError

Label = str | tuple[str, ...]
"""The name of a document's class; where documents have any number of labels, the names of those."""


def read_documents(X: Any, labels: Sequence[Label] | None = None) -> tuple[Document, ...]:  # noqa: N803
    """The documents of X, by the rule that readers of files have; the line of a document is its index.

    Args:
        X: texts, or (text, pair) tuples: a list, array [N] or Series of them, or an array or data frame [N, 1] of texts
            or [N, 2] of texts and pairs.
        labels: of the documents, in their order; None for none.

    Raises:
        DataError: anything else, a text that no file may hold either (empty, binary, not valid Unicode), or another
            number of labels.
    """
    rows = [_row(index, value) for index, value in enumerate(_values(X))]
    paired = any(row.pair is not None for row in rows)
    columns = Columns("text", None if labels is None else "label", "pair" if paired else None)
    rule = LabelRule(multi=any(isinstance(label, tuple) for label in labels or ()))
    if labels is not None and len(labels) != len(rows):
        raise DataError(f"X holds {len(rows)} documents and y {len(labels)} labels; give one label a document")
    documents = []
    for row in rows:
        label = None if labels is None else labels[row.line]
        whole = replace(row, label=list(label) if isinstance(label, tuple) else label)
        found = to_document(whole, "X", columns, rule)
        if isinstance(found, Defect):
            raise DataError(f"X[{row.line}]: {found.reason}: {found.detail}; correct it or leave the document out")
        documents.append(found)
    return tuple(documents)


def read_classes(y: Any) -> tuple[np.ndarray, list[Label]]:
    """The classes [C] that y tells of, and the label of each document.

    Args:
        y: classes [N], sorted here and of their own type; or for any number of labels a document a matrix [N, C] of 0
            and 1, whose classes are the names of a data frame's columns, else 0 to C-1.

    Raises:
        DataError: a value is missing or no class, there are fewer than two classes, or a matrix without any label.
    """
    array, kind = _targets(y)
    if kind == "multilabel-indicator":
        return _read_matrix(array, getattr(y, "columns", ()))
    classes, places = np.unique(array, return_inverse=True)
    names = class_names(classes)
    if len(names) < 2:
        held = f"one class, {shorten(names[0])}" if names else "no label"
        raise DataError(f"y holds {held}; give documents of at least two classes")
    return classes, [names[place] for place in places]


def _read_matrix(matrix: np.ndarray, columns: Sequence[Any]) -> tuple[np.ndarray, list[Label]]:
    other = matrix[~np.isin(matrix, (0, 1))]
    if len(other):
        raise DataError(f"y is a matrix with {shorten(other[0].item())}; give 0 and 1 alone")
    if not matrix.any():
        raise DataError("y holds no label: every row is 0 throughout; give documents with labels")
    named = len(columns) > 0 and all(isinstance(column, str) for column in columns)
    classes = np.array(list(columns), dtype=object) if named else np.arange(matrix.shape[1])
    names = class_names(classes)
    if len(set(names)) < len(names):
        raise DataError(f"y has columns of the same name: {list_names(names)}; give every label its own")
    return classes, [tuple(names[place] for place in np.flatnonzero(row)) for row in matrix]


def class_names(classes: np.ndarray) -> list[str]:
    """What the model calls the classes: 1 is "1", True is "True"."""
    return [str(value) for value in classes.tolist()]


def _values(X: Any) -> list[Any]:  # noqa: N803
    if isinstance(X, (str, bytes)):
        raise DataError("X is a single text; give a list of texts: [text]")
    if hasattr(X, "toarray"):
        raise DataError("X is a sparse matrix; give the texts themselves, with no vectorizer before the classifier")
    if isinstance(X, (Mapping, Set)) or not (hasattr(X, "__len__") and hasattr(X, "__getitem__")):
        raise DataError(f"X is {type(X).__name__} {shorten(X)}; give a list, array or Series of texts")
    if not hasattr(X, "columns") and not isinstance(X, np.ndarray):
        return list(X)
    array = np.asarray(X)  # iterating over a data frame would give the names of its columns
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 and array.shape[1:] != (2,):
        raise DataError(f"X has the shape {array.shape}; give texts [N], or texts with their pairs [N, 2]")
    return list(array.tolist())


def _row(index: int, value: Any) -> Row:
    if isinstance(value, (tuple, list, np.ndarray)) and len(value) == 2:
        return Row(index, _plain(value[0]), pair=_plain(value[1]))
    return Row(index, _plain(value))


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, np.str_) else value


def _targets(y: Any) -> tuple[np.ndarray, str]:
    """y as an array, and what scikit-learn takes it for; its judgement in an error of ours."""
    if y is None:
        raise DataError("PTCClassifier requires y to be passed, but the target y is None; give a label a document")
    y = y.toarray() if hasattr(y, "toarray") else y
    # Before it becomes an array: numpy makes a string of the NaN among strings.
    missing = [
        i for i, value in enumerate(y if isinstance(y, Sequence) else np.asarray(y).ravel()) if _is_missing(value)
    ]
    try:
        if missing:
            raise ValueError(f"value {missing[0]} is NaN or missing; label the document or leave it out")
        check_classification_targets(y)
        kind = str(type_of_target(y))
        if kind == "multilabel-indicator":
            return np.asarray(y), kind
        if kind not in ("binary", "multiclass"):
            raise ValueError(f"it is of the type {kind!r}; give one class a document, or a matrix of 0 and 1")
        return np.asarray(column_or_1d(y, warn=True)), kind
    except (TypeError, ValueError) as error:
        raise DataError(f"y cannot be used: {' '.join(str(error).split())}") from error


def _is_missing(value: Any) -> bool:
    is_nan = isinstance(value, (float, np.floating)) and bool(np.isnan(value))
    return value is None or is_nan or type(value).__name__ == "NAType"  # pandas', which may not be installed
