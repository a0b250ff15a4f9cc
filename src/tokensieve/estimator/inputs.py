"""X and y as scikit-learn's users have them -> documents and classes, or one clear error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from tokensieve.data.documents import Document
from tokensieve.data.labels import WANTED, LabelRule, name_defect, value_name
from tokensieve.data.rows import Columns, Defect, Reason, Row, list_names, shorten
from tokensieve.data.texts import texts_in
from tokensieve.data.usable import to_document
from tokensieve.errors import DataError

Label = str | tuple[str, ...]
"""The name of a document's class; where documents have any number of labels, the names of those."""


def read_documents(
    X: Any,  # noqa: N803
    labels: Sequence[Label] | None = None,
    paired: bool | None = None,
) -> tuple[Document, ...]:
    """The documents of X, by the rule that readers of files have; the line of a document is its index.

    Args:
        X: texts, or (text, pair) tuples: a list, array [N], [N, 1] or [N, 2], Series or table, as `texts_in` has them.
        labels: of the documents, in their order; None for none.
        paired: whether pairs are wanted; None: not known.

    Raises:
        DataError: anything else, a text that no file may hold either (empty, binary, not valid Unicode), or another
            number of labels.
    """
    if not (hasattr(X, "__len__") and hasattr(X, "__getitem__")) and not isinstance(X, (str, bytes)):
        raise DataError(f"X is {type(X).__name__} {shorten(X)}; give a list, array or Series of texts")
    rows = [_row(index, value) for index, value in enumerate(texts_in(X, paired, "X"))]
    paired = any(row.pair is not None for row in rows)
    columns = Columns("text", pair="pair" if paired else None)
    if labels is not None and len(labels) != len(rows):
        raise DataError(f"X holds {len(rows)} documents and y {len(labels)} labels; give one label a document")
    documents = []
    for row in rows:
        found = to_document(row, "X", columns, LabelRule())
        if isinstance(found, Defect):
            raise DataError(f"X[{row.line}]: {found.reason}: {found.detail}; correct it or leave the document out")
        documents.append(found if labels is None else replace(found, label=labels[row.line]))
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
    _check_names(names, places.tolist())
    if len(names) < 2:
        held = f"one class, {shorten(names[0])}" if names else "no label"
        raise DataError(f"y holds {held}; give documents of at least two classes")
    return classes, [names[place] for place in places]


def _check_names(names: Sequence[str], places: Sequence[int]) -> None:
    """Refuse classes whose names no file may hold either; a class comes from the first document that has it."""
    for place, name in enumerate(names):
        defect = name_defect(places.index(place) if place in places else 0, name)
        if defect is not None:
            remedy = "correct it or leave the document out"
            if defect.reason is Reason.LABEL_TYPE:
                remedy = (
                    "for several labels a document give a matrix of 0 and 1 (MultiLabelBinarizer makes it of lists)"
                )
            raise DataError(f"X[{defect.line}]: {defect.reason}: {defect.detail}; {remedy}")


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
    _check_names(names, [])
    return classes, [tuple(names[place] for place in np.flatnonzero(row)) for row in matrix]


def class_names(classes: np.ndarray) -> list[str]:
    """The model's names for the classes, as readers of files have them: 1 and 1.0 are "1", True is "true".

    Strings are left as they are, with the space around them.

    Raises:
        DataError: a class of another type, such as a date.
    """
    names = [None if classes.dtype.kind in "mM" else value_name(value) for value in classes.tolist()]
    for value, name in zip(classes, names, strict=True):
        if name is None:
            kind = type(value).__name__
            raise DataError(f"y holds the class {shorten(value)} of the type {kind} where {WANTED} is wanted")
    return [str(name) for name in names]


def places_in_model(classes: np.ndarray, labels: Sequence[str]) -> list[int]:
    """The place of each class among the model's labels; -1 for a class that the model never saw.

    Models of version 0.1 call True "True" and 1.0 "1.0".
    """
    places = {label: place for place, label in enumerate(labels)}
    both = zip(class_names(classes), classes.tolist(), strict=True)
    return [places.get(name, places.get(str(value), -1)) for name, value in both]


def _row(index: int, value: Any) -> Row:
    if isinstance(value, (tuple, list, np.ndarray)) and len(value) == 2:
        return Row(index, _plain(value[0]), pair=_plain(value[1]))
    return Row(index, _plain(value))


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, np.str_) else value


def _targets(y: Any) -> tuple[np.ndarray, str]:
    """y as an array, and what scikit-learn takes it for; its judgement in an error of ours."""
    if y is None:
        raise DataError(
            "TokensieveClassifier requires y to be passed, but the target y is None; give a label a document"
        )
    y = y.toarray() if hasattr(y, "toarray") else y
    # Before it becomes an array: numpy makes a string of the NaN among strings.
    missing = [
        i for i, value in enumerate(y if isinstance(y, Sequence) else np.asarray(y).ravel()) if _is_missing(value)
    ]
    try:
        if missing:
            raise ValueError(f"value {missing[0]} is NaN or missing; label the document or leave it out")
        y = _of_one_type(y)
        check_classification_targets(y)
        kind = str(type_of_target(y))
        if kind == "multilabel-indicator":
            return np.asarray(y), kind
        if kind not in ("binary", "multiclass"):
            raise ValueError(f"it is of the type {kind!r}; give one class a document, or a matrix of 0 and 1")
        return np.asarray(column_or_1d(y, warn=True)), kind
    except (TypeError, ValueError) as error:
        raise DataError(f"y cannot be used: {' '.join(str(error).split())}") from error


def _of_one_type(y: Any) -> Any:
    """Classes that a list or pandas holds as objects, as an array of their own type; anything else as it is.

    Without this scikit-learn makes floats of pandas' nullable booleans, and numpy makes strings of a mixed list.
    """
    array = np.asarray(y)
    if array.ndim != 1:
        return y
    if array.dtype != object and not isinstance(y, Sequence):
        return array
    items = y if isinstance(y, Sequence) else array
    values = [item.item() if isinstance(item, np.generic) else item for item in items]
    kinds = [bool if isinstance(value, bool) else str if isinstance(value, str) else float for value in values]
    for place, value in enumerate(values):
        if isinstance(value, (list, tuple, set, np.ndarray)):
            return y  # scikit-learn's error says what to make of them
        what = f"value {place} is {type(value).__name__} {shorten(value)}"
        if not isinstance(value, (str, bool, int, float)):
            raise ValueError(f"{what} where {WANTED} is wanted")
        if kinds[place] is not kinds[0]:
            raise ValueError(f"{what}, value 0 is {type(values[0]).__name__} {shorten(values[0])}; give one type")
    return array if str in kinds else np.array(values)


def _is_missing(value: Any) -> bool:
    is_nan = isinstance(value, (float, np.floating)) and bool(np.isnan(value))
    return value is None or is_nan or type(value).__name__ == "NAType"  # pandas', which may not be installed
