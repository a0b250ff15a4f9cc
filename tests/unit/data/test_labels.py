"""One rule for labels: the same value is the same label in every format, and a list written as text is none."""

import csv
import json
import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.packages import needed
from tokensieve.data import Tally, load_splits, read_documents
from tokensieve.data.labels import LabelRule, is_written_list, value_name
from tokensieve.data.rows import Defect, Reason
from tokensieve.errors import DataError

Put = Callable[..., Path]
TYPED = ["jsonl", "parquet"]


def _labels(path: Path, **settings: Any) -> list[object]:
    return [document.label for document in read_documents(path, **settings)]


def _read(value: object, **rule: Any) -> Any:
    return LabelRule(**rule).read(1, value)


@pytest.mark.parametrize("kind", TYPED)
@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([True, False], ["true", "false"]),
        ([1, 0], ["1", "0"]),
        ([1.0, 2.0], ["1", "2"]),
        ([" alpha", "alpha\t"], ["alpha", "alpha"]),
        (["True", "1.0"], ["True", "1.0"]),
    ],
)
def test_values_of_typed_formats(put: Put, kind: str, values: list[object], labels: list[str]) -> None:
    path = put(f"a.{kind}", [{"text": "one", "label": value} for value in values])
    assert _labels(path) == labels
    if not isinstance(values[0], bool):
        lists = put(f"b.{kind}", [{"text": "one", "label": [value]} for value in values])
        assert _labels(lists, multi_label=True) == [(label,) for label in labels]


def test_every_number_of_parquet(tmp_path: Path) -> None:
    pa = needed("pyarrow")
    import pyarrow.parquet as pq

    columns = {
        "half": pa.array(np.array([1, 2], dtype=np.float16)),
        "decimal": pa.array([Decimal("1.00"), Decimal("2.00")]),
        "unsigned": pa.array([1, 2], pa.uint64()),
        "coded": pa.array([1.0, 2.0]).dictionary_encode(),
    }
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["one", "two"], "flag": [True, None], **columns}), path)
    for name in columns:
        assert _labels(path, label_column=name) == ["1", "2"]
    assert _labels(path, label_column="flag", policy="skip") == ["true"]


@pytest.mark.parametrize("kind", TYPED)
def test_numbers_that_are_no_classes(put: Put, kind: str) -> None:
    path = put(f"a.{kind}", [{"text": "one", "label": value} for value in (1.0, 2.5)])
    with pytest.raises(DataError, match=r"2: label of the wrong type: float 2\.5 where a string, a whole"):
        _labels(path)
    for value in (math.nan, Decimal("NaN"), np.float16("nan")):
        found = _read(value)
        assert (found.reason, found.detail) == (Reason.MISSING_LABEL, "the value is NaN")
    assert _read(math.inf).reason is Reason.LABEL_TYPE


def test_a_data_set_of_booleans(tmp_path: Path) -> None:
    datasets = needed("datasets")
    datasets.Dataset.from_dict({"text": ["a", "b"], "label": [True, False]}).save_to_disk(tmp_path / "set")
    assert _labels(tmp_path / "set") == ["true", "false"]


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans()))
def test_equal_numbers_have_one_name(value: Any) -> None:
    name = value_name(value)
    if isinstance(value, bool):
        assert name == str(value).lower()
    elif value != int(value):
        assert name is None
    else:
        assert name == str(int(value)) == value_name(int(value))


def test_known_labels_by_another_spelling(put: Put) -> None:
    """What lost its type in CSV, or its space, is still the label that the classifier knows."""
    cells = ["1.0", "1", " 2 ", "True", "TRUE", "true", "x"]
    path = put("a.csv", "text,label\n" + "".join(f"one,{cell}\n" for cell in cells))
    known = ["1", "2.0", "true", " x "]
    assert _labels(path, known_labels=known) == ["1", "1", "2.0", "true", "true", "true", " x "]
    assert _read(True, known=["True", "False"]) == "True"
    assert _read(1.0, known=["1.0", "2.0"]) == "1.0"
    for value, names in (("1.0", ["1", "01"]), ("01", ["1", "2"]), ("yes", ["true", "false"]), ("X", ["x"])):
        found = _read(value, known=names)
        assert found == "1" if value == "1.0" else isinstance(found, Defect)


def test_a_spelling_that_could_be_two_labels_is_the_one_it_is() -> None:
    known = ["a", " a", "1", "1.0", "True", "true"]
    for label in known:
        assert _read(label, known=known) == label
    assert _read("a ", known=known) == "a"
    assert _read("1.00", known=known) == "1"
    assert _read("TRUE", known=known) == "true"


def test_two_spellings_of_a_known_label_in_one_list() -> None:
    found = _read(["1", "1.0"], known=["1", "2"], multi=True)
    assert (found.reason, found.detail[:3]) == (Reason.REPEATED_LABEL, "'1'")


def test_a_label_known_with_space_around_it(put: Put) -> None:
    """As a classifier of version 0.1 has it."""
    path = put("a.jsonl", [{"text": "one", "label": " alpha"}, {"text": "two", "label": "alpha"}])
    assert _labels(path, known_labels=[" alpha", "beta"]) == [" alpha", " alpha"]


WRITTEN = [
    '["a", "b"]', "['a', 'b']", "['a' 'b']", "[1, 0]", "[1 0 0]", "[1. 0. 0.]", "[]", "['a']", "('a', 'b')", "('a',)",
    "{'a', 'b'}", "{'a': 1}", '{"a": 1}', "set()", "frozenset({'a'})", "array(['a', 'b'], dtype=object)",
    "Index(['a'], dtype='object')", "[True, False]", "[None]", "[['a'], ['b']]", "['a'\n 'b']",
]  # fmt: skip
NAMES = [
    "[spam]", "(misc)", "(0, 10)", "(0, 10]", "[0, 10)", "a [b]", "[a] b", "f(x)", "array", "set(x)", "('misc')",
    "<b>", "[", "]", "{a}", "{1, 2}", "()", "a|b", "C++ (11)", "[a](b)", "index (list)", "[spam, ham]",
]  # fmt: skip


@pytest.mark.parametrize("text", WRITTEN)
def test_a_list_written_as_text_is_no_single_label(put: Put, text: str) -> None:
    assert is_written_list(text)
    path = put("a.jsonl", [{"text": "one", "label": "x"}, {"text": "one", "label": f" {text} "}])
    with pytest.raises(DataError, match=r"line 2: label of the wrong type: .* is a list .*with --multi-label"):
        _labels(path)
    tally = Tally()
    assert _labels(path, policy="skip", tally=tally) == ["x"]
    assert tally.reasons == {"label of the wrong type": 1}


@pytest.mark.parametrize("text", NAMES)
def test_names_in_brackets_are_single_labels(put: Put, text: str) -> None:
    assert not is_written_list(text)
    assert _labels(put("a.jsonl", [{"text": "one", "label": text}])) == [text]


@given(st.text(max_size=40))
def test_any_text_is_a_list_or_a_name(text: str) -> None:
    is_written_list(text)
    _read(text, multi=True)


@pytest.mark.parametrize("depth", [5_000, 200_000])
def test_brackets_without_end(depth: int) -> None:
    assert not is_written_list("[" * depth + "]")
    assert isinstance(_read("[" * depth + "]" * depth, multi=True), Defect)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_json_lists_in_cells(put: Put, kind: str) -> None:
    lists = [["law", "sport"], [], ["a|b"], ["x"], [1, "2"]]
    path = put(f"a.{kind}", [{"text": "one", "label": json.dumps(labels)} for labels in lists])
    assert _labels(path, multi_label=True) == [("law", "sport"), (), ("a|b",), ("x",), ("1", "2")]


LISTS_OF_CELLS = [text for text in WRITTEN if text not in ('["a", "b"]', "[1, 0]", "[]")]
MORE_LISTS = ["[spam, ham]", "[spam]", "{law,sport}", "['a', 'b'", '{"a"', "[a, [b]]"]


@pytest.mark.parametrize("text", LISTS_OF_CELLS + MORE_LISTS)
def test_cells_that_look_like_lists(put: Put, text: str) -> None:
    path = put("a.jsonl", [{"text": "one", "label": "x|y"}, {"text": "one", "label": text}])
    with pytest.raises(DataError, match=r"line 2: label of the wrong type: .* is no JSON list: write one.*\'\|\' betw"):
        _labels(path, multi_label=True)


@pytest.mark.parametrize(
    ("text", "labels"),
    [("(misc)", ("(misc)",)), ("[a]|[b]", ("[a]", "[b]")), ("{a}|{b}", ("{a}", "{b}")), ("(a, b)|c", ("(a, b)", "c"))],
)
def test_cells_that_do_not(text: str, labels: tuple[str, ...]) -> None:
    assert _read(text, multi=True) == labels


@pytest.mark.parametrize("cell", ["1|0|0", "[1, 0, 0]", "0|0", "[0, 0]", "1|1", " 1 | 0 | 1 ", "1.0|0.0|0.0"])
def test_indicators_in_cells(put: Put, cell: str) -> None:
    path = put("a.csv", f'text,label\none,"{cell}"\n')
    with pytest.raises(
        DataError, match=r"line 2: a label given twice: .*look like indicators.*TokensieveClassifier takes"
    ):
        _labels(path, multi_label=True)


@pytest.mark.parametrize("cell", ["1 0 0", "0,1", "1, 0, 1", "0;1", "1/0"])
def test_indicators_divided_by_something_else(put: Put, cell: str) -> None:
    path = put("a.csv", f'text,label\none,"{cell}"\n')
    with pytest.raises(DataError, match=r"line 2: label of the wrong type: .*look like indicators"):
        _labels(path, multi_label=True)


@pytest.mark.parametrize("kind", TYPED)
@pytest.mark.parametrize("rows", [[[1, 0, 0], [0, 1, 1]], [[1, 0], [0, 1], [1, 1]], [[True, False], [False, True]]])
def test_rows_of_indicators(put: Put, kind: str, rows: list[list[int]]) -> None:
    path = put(f"a.{kind}", [{"text": f"text {n}", "label": rows[n % len(rows)]} for n in range(12)])
    with pytest.raises(DataError, match="look like indicators, 0 or 1 for each class: give the names of the labels"):
        load_splits(path, multi_label=True)


@pytest.mark.parametrize("kind", TYPED)
def test_indicators_of_two_classes_that_exclude_each_other(put: Put, kind: str) -> None:
    """Each row names both, so that nothing is left to learn; and says why."""
    path = put(f"a.{kind}", [{"text": f"text {n}", "label": [n % 2, 1 - n % 2]} for n in range(12)])
    with pytest.raises(DataError, match="12 training documents have the labels '0', '1'; these look like indicators"):
        load_splits(path, multi_label=True)


def test_space_around_labels_makes_no_second_class(put: Put) -> None:
    rows = [{"text": f"text {n}", "label": ["alpha", " alpha", "alpha\u00a0", "beta"][n % 4]} for n in range(40)]
    for name in ("a.jsonl", "a.csv", "a.tsv", "a.parquet"):
        splits = load_splits(put(name, rows))
        assert splits.label_names == ("alpha", "beta")


def test_what_pandas_makes_of_lists(tmp_path: Path) -> None:
    """A frame with lists, written as CSV and read back as a user would."""
    pd = needed("pandas")
    path = tmp_path / "a.csv"
    for labels in (["a", "x"], np.array(["a", "x"]), ("a", "x"), {"a", "x"}):
        pd.DataFrame({"text": ["one"], "label": [labels]}).to_csv(path, index=False, quoting=csv.QUOTE_MINIMAL)
        with pytest.raises(DataError, match="is no JSON list"):
            _labels(path, multi_label=True)
        with pytest.raises(DataError, match="--multi-label"):
            _labels(path)
    pd.DataFrame({"text": ["one"], "label": [json.dumps(["a", "x"])]}).to_csv(path, index=False)
    assert _labels(path, multi_label=True) == [("a", "x")]


def test_a_label_with_a_null_character_is_binary_data(put: Put) -> None:
    """As a text with one is; numpy would cut it off the end of a class's name."""
    for kind in ("jsonl", "csv"):
        with pytest.raises(DataError, match=r"binary data in place of text: label 'x.x00'"):
            _labels(put(f"a.{kind}", [{"text": "one", "label": "x\0"}]))
