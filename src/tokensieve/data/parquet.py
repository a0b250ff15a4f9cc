"""Parquet, by pyarrow, a batch of rows at a time and only the columns asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokensieve.data.delimited import column_index
from tokensieve.data.rows import Defect, Row
from tokensieve.errors import DataError, MissingExtraError

_BATCH_ROWS = 1024
_READ_BUFFER_BYTES = 1 << 20


def require_pyarrow() -> None:
    """Raise `MissingExtraError` when pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("reading Parquet", "pyarrow", "parquet") from error


def read_parquet(path: str | Path, text_column: str, label_column: str | None) -> Iterator[Row | Defect]:
    """Rows of a Parquet file, lazily; `Row.line` is the 1-based row.

    Raises:
        DataError: Not a Parquet file, broken, without such a column, or with a column of a type that cannot be used:
            texts are strings (or bytes of UTF-8), labels strings or whole numbers, either of them dictionary-encoded.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # A small buffer in place of whole column chunks keeps memory flat however large the row groups are.
        with pq.ParquetFile(path, buffer_size=_READ_BUFFER_BYTES, pre_buffer=False) as file:
            columns = _checked_columns(file.schema_arrow, str(path), text_column, label_column)
            yield from _rows(file.iter_batches(batch_size=_BATCH_ROWS, columns=columns), text_column, label_column)
    except (pa.ArrowException, OSError) as error:
        problem = (str(error).splitlines() or ["?"])[0]
        raise DataError(f"{path}: not a Parquet file, or a broken one ({problem}); write or fetch it again") from error


def _checked_columns(schema: Any, source: str, text_column: str, label_column: str | None) -> list[str]:
    text_type = schema.field(column_index(schema.names, text_column, source, "text")).type
    if not _is_text(text_type):
        raise DataError(f"{source}: the text column {text_column!r} is of type {text_type}; strings are wanted")
    if label_column is None:
        return [text_column]
    label_type = schema.field(column_index(schema.names, label_column, source, "label")).type
    if not _is_text(label_type) and not _is_integer(label_type):
        raise DataError(
            f"{source}: the label column {label_column!r} is of type {label_type}; strings or whole numbers are wanted"
        )
    return [text_column, label_column]


def _rows(batches: Iterator[Any], text_column: str, label_column: str | None) -> Iterator[Row]:
    number = 0
    for batch in batches:
        texts = _values(batch.column(text_column))
        labels = [None] * len(texts) if label_column is None else _values(batch.column(label_column))
        for text, label in zip(texts, labels, strict=True):
            number += 1
            yield Row(number, text, label)


def _values(array: Any) -> list[Any]:
    """The values of an Arrow array; strings are decoded here, one by one, as a bad one would spoil the whole batch."""
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if _is_integer(array.type):
        return list(array.to_pylist())
    binary = array.cast(pa.large_binary())
    return [None if value is None else value.decode("utf-8", "surrogateescape") for value in binary.to_pylist()]


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    checks = (types.is_string, types.is_large_string, types.is_string_view, types.is_binary, types.is_large_binary)
    return any(check(_plain(kind)) for check in checks)


def _is_integer(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_integer(_plain(kind)))


def _plain(kind: Any) -> Any:
    import pyarrow.types as types

    return kind.value_type if types.is_dictionary(kind) else kind
