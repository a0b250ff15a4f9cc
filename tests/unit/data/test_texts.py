"""Texts given in Python: a table's column of texts, never the names of its columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tokensieve.data.texts import texts_in
from tokensieve.errors import DataError

TEXTS, SECOND, LABELS = ["the film", "a law"], ["was good", "of the court"], ["film", "law"]


def dictionary(columns: dict[str, list[Any]]) -> Any:
    return columns


def arrays(columns: dict[str, list[Any]]) -> Any:
    """A batch as Ray hands it over."""
    return {name: np.array(values) for name, values in columns.items()}


TABLES = pytest.mark.parametrize(
    "table", [dictionary, arrays, pd.DataFrame, pa.table, datasets.Dataset.from_dict], ids=lambda table: table.__name__
)


@TABLES
@pytest.mark.parametrize("paired", [None, False])
def test_a_column_by_name(table: Any, paired: bool | None) -> None:
    for columns in (
        {"text": TEXTS},
        {"body": TEXTS},
        {"id": [1, 2], "text": TEXTS, "label": LABELS, "date": LABELS},
    ):
        assert list(texts_in(table(columns), paired)) == TEXTS
    assert list(texts_in(table({"label": LABELS, "text": TEXTS}), paired)) == TEXTS


@TABLES
@pytest.mark.parametrize("paired", [None, True])
def test_columns_of_pairs(table: Any, paired: bool | None) -> None:
    pairs = list(zip(TEXTS, SECOND, strict=True))
    for columns in (
        {"text": TEXTS, "pair": SECOND},
        {"label": LABELS, "pair": SECOND, "text": TEXTS},
        {"question": TEXTS, "answer": SECOND},
    ):
        assert list(texts_in(table(columns), paired)) == pairs


@TABLES
@pytest.mark.parametrize(
    ("columns", "paired"),
    [
        ({"body": TEXTS, "label": LABELS}, None),
        ({"body": TEXTS, "author": LABELS}, False),
        ({"a": TEXTS, "b": TEXTS, "c": TEXTS}, None),
        ({"text": TEXTS, "label": LABELS}, True),
        ({"a": TEXTS, "b": TEXTS, "c": TEXTS}, True),
        ({"text": TEXTS}, True),
    ],
)
def test_a_table_that_does_not_tell(table: Any, columns: dict[str, list[Any]], paired: bool | None) -> None:
    with pytest.raises(DataError, match=f"with the columns '{next(iter(columns))}'.*not clear.*give"):
        texts_in(table(columns), paired)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("a text", "single text"),
        (b"a text", "single text"),
        (Path("a.csv"), "single text"),
        (5, "int 5"),
        (None, "NoneType"),
        (set(TEXTS), "set, which has no order"),
        ({"text": "the film"}, "single value, 'the film'"),
        ({"text": 5}, "single value, 5"),
        ({}, "dict with the columns none"),
        (np.array("a text"), "shape"),
        (np.array([[TEXTS]]), "shape"),
        (np.array([["a", "b", "c"]]), r"shape \(1, 3\)"),
        (pd.DataFrame([TEXTS], columns=["text", "text"]), "more than one column 'text'"),
    ],
)
def test_what_holds_no_texts(source: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        list(texts_in(source, False))


def test_what_is_iterated_over() -> None:
    frame = pd.DataFrame({"text": TEXTS})
    for source in (
        TEXTS,
        tuple(TEXTS),
        iter(TEXTS),
        frame["text"],
        np.array(TEXTS),
        np.array([[one] for one in TEXTS]),
    ):
        assert list(texts_in(source, None)) == TEXTS
    assert list(texts_in(np.array([TEXTS, SECOND]).T, None)) == list(zip(TEXTS, SECOND, strict=True))
    assert list(texts_in(frame[["text"]].to_numpy(), None)) == TEXTS
