"""Texts that a caller hands over in Python: lists, iterators, arrays, and tables with a column of texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from tokensieve.data.rows import list_names, shorten
from tokensieve.errors import DataError

TEXT, PAIR = "text", "pair"
_LABELS = frozenset({"label", "labels", "target", "class", "category", "y"})


def texts_in(source: Any, paired: bool | None, name: str = "texts") -> Iterable[Any]:
    """The texts of a source one by one, or (text, second text) tuples; what each of them is, the caller checks.

    Iterating over a table gives the names of its columns, and over a dict its keys. Here the column of texts is taken
    if it is clear which one it is.

    Args:
        source: a list, an iterator, a Series, or an array [N], [N, 1] or [N, 2] of texts; or a table: a data frame of
            pandas or polars, an Arrow table, a `datasets.Dataset`, or a dict of columns. Of a table these are read:
            the column "text" (for pairs also "pair"), else its only column, else for pairs its two columns.
        paired: whether pairs of texts are wanted; None: not known.
        name: what messages call the source.

    Raises:
        DataError: no such source, one without an order, or a table that does not tell which column holds the texts.
    """
    if isinstance(source, (str, bytes, Path)):
        raise DataError(f"{name} is a single text, {shorten(source)}; give a list of texts: [text]")
    if hasattr(source, "toarray"):
        raise DataError(f"{name} is a sparse matrix; give the texts themselves, without a vectorizer before")
    if isinstance(source, Set):
        raise DataError(f"{name} is {type(source).__name__}, which has no order; give a list of texts")
    columns = _columns(source)
    if columns is not None:
        chosen = _chosen(columns, paired, f"{name} is {type(source).__name__}")
        values = [_values(source, column, name) for column in chosen]
        return list(zip(*values, strict=True)) if len(values) == 2 else values[0]
    if getattr(source, "ndim", 1) == 2 and source.shape[1] in (1, 2):
        return [tuple(row) if len(row) == 2 else row[0] for row in source.tolist()]
    if getattr(source, "ndim", 1) != 1:
        raise DataError(f"{name} has the shape {source.shape}; give texts [N], or texts with their pairs [N, 2]")
    if not isinstance(source, Iterable):
        raise DataError(f"{name} is {type(source).__name__} {shorten(source)}; give a list of texts")
    return source


def _columns(source: Any) -> list[Any] | None:
    """Names of the columns of a table; None for anything else."""
    if isinstance(source, Mapping):
        return list(source)
    for attribute in ("column_names", "columns"):  # Arrow and datasets; pandas, polars, and Arrow again
        names = getattr(source, attribute, None)
        if names is not None and not callable(names):
            return list(names)
    return None


def _chosen(columns: Sequence[Any], paired: bool | None, what: str) -> list[Any]:
    """The column of the texts, and for pairs that of the second texts; `what` begins an error."""
    pair = TEXT in columns and PAIR in columns and paired is not False
    two = len(columns) == 2 and paired is not False and _LABELS.isdisjoint(columns)
    if pair or two:
        chosen = [TEXT, PAIR] if pair else list(columns)
    elif paired is not True and (TEXT in columns or len(columns) == 1):
        chosen = [TEXT] if TEXT in columns else list(columns)
    else:
        names = list_names([str(column) for column in columns])
        remedy = "give pairs, such as list(zip(x['a'], x['b']))" if paired else "give one column, such as x['text']"
        raise DataError(f"{what} with the columns {names}, and it is not clear which hold the texts; {remedy}")
    twice = next((column for column in chosen if list(columns).count(column) > 1), None)
    if twice is not None:
        raise DataError(f"{what} with more than one column {twice!r}; rename all but the column of the texts")
    return chosen


def _values(source: Any, column: Any, name: str) -> list[Any]:
    found = source[column]
    if isinstance(found, (str, bytes)) or not isinstance(found, Iterable):
        raise DataError(f"{name}[{column!r}] is a single value, {shorten(found)}; give a list of texts")
    return list(found.to_pylist() if hasattr(found, "to_pylist") else found)
