"""Parquet, by pyarrow, a batch of rows at a time and only the columns asked for; and Arrow's columns as rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tokensieve.data.delimited import column_index
from tokensieve.data.labels import MULTI_LABEL_REMEDY
from tokensieve.data.rows import Columns, Defect, Row
from tokensieve.errors import DataError, MissingExtraError

BATCH_ROWS = 1024
_READ_BUFFER_BYTES = 1 << 20


def require_pyarrow() -> None:
    """Raise `MissingExtraError` when pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("reading Parquet", "pyarrow", "parquet") from error


def read_parquet(path: str | Path, columns: Columns, multi_label: bool) -> Iterator[Row | Defect]:
    """Rows of a Parquet file, lazily; `Row.line` is the 1-based row.

    Raises:
        DataError: Not a Parquet file, broken, or as `check_columns`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # A small buffer in place of whole column chunks keeps memory flat however large the row groups are.
        with pq.ParquetFile(path, buffer_size=_READ_BUFFER_BYTES, pre_buffer=False) as file:
            names = check_columns(file.schema_arrow, str(path), columns, multi_label)
            yield from rows_of(file.iter_batches(batch_size=BATCH_ROWS, columns=distinct(names)), names)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # of the system, and not of what the file holds
            raise DataError(f"{path}: cannot be read ({os.strerror(error.errno)}); check the file") from error
        problem = (str(error).splitlines() or ["?"])[0]
        raise DataError(f"{path}: not a Parquet file, or a broken one ({problem}); write or fetch it again") from error


def check_columns(schema: Any, source: str, columns: Columns, multi_label: bool) -> dict[str, str]:
    """The columns to read, as the schema calls them, by their role, after a look at their Arrow types.

    Raises:
        DataError: There is no such column, or one of a type that cannot be used: texts are strings (or bytes of
            UTF-8), labels strings, numbers or booleans, or lists of these in multi-label data, all of them also
            dictionary-encoded.
    """
    found = {}
    for role, name in columns.by_role.items():
        place = column_index(schema.names, name, source, role)
        found[role], kind = schema.names[place], schema.field(place).type
        if role != "label" and not _is_text(kind):
            raise DataError(f"{source}: the {role} column {name!r} is of type {kind}; strings are wanted")
        if role == "label" and not _is_label(kind, multi_label):
            wanted = "strings, numbers or booleans" + (", or lists of these," if multi_label else "")
            remedy = MULTI_LABEL_REMEDY if _is_label(kind, True) else ""
            raise DataError(f"{source}: the label column {name!r} is of type {kind}; {wanted} are wanted{remedy}")
    return found


def distinct(names: dict[str, str]) -> list[str]:
    """The columns to read, each once, where one has several roles."""
    return list(dict.fromkeys(names.values()))


def rows_of(batches: Iterator[Any], names: dict[str, str]) -> Iterator[Row]:
    """The rows of Arrow record batches, numbered from 1; `names` is what `check_columns` gave."""
    number = 0
    for batch in batches:
        values = {role: _values(batch.column(name)) for role, name in names.items()}
        for fields in zip(*values.values(), strict=True):
            number += 1
            yield Row(number, **dict(zip(values, fields, strict=True)), unit="row")


def _values(array: Any) -> list[Any]:
    """The values of an Arrow array; strings are decoded here, one by one, as a bad one would spoil the whole batch."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if _is_list(array.type):
        items = iter(_values(array.flatten()))  # without the items of lists that are null
        lengths = pc.list_value_length(array).to_pylist()
        return [None if length is None else list(islice(items, length)) for length in lengths]
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not _is_text(array.type):
        return list(array.to_pylist())
    binary = array.cast(pa.large_binary())
    return [None if value is None else value.decode("utf-8", "surrogateescape") for value in binary.to_pylist()]


def _is_label(kind: Any, multi_label: bool) -> bool:
    import pyarrow.types as types

    if multi_label and _is_list(kind):
        # A file of nothing but empty lists has items of no type.
        return types.is_null(kind.value_type) or _is_label(kind.value_type, False)
    checks = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean)
    return _is_text(kind) or any(check(_plain(kind)) for check in checks)


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    checks = (types.is_string, types.is_large_string, types.is_string_view, types.is_binary, types.is_large_binary)
    return any(check(_plain(kind)) for check in checks)


def _is_list(kind: Any) -> bool:
    import pyarrow.types as types

    return any(check(kind) for check in (types.is_list, types.is_large_list, types.is_fixed_size_list))


def _plain(kind: Any) -> Any:
    import pyarrow.types as types

    return kind.value_type if types.is_dictionary(kind) else kind
