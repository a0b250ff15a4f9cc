"""Multi-label documents: lists and cells of labels, splits that lose none of them, a row of 0 and 1 for each."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding, PreTrainedTokenizerFast

from support.packages import needed
from tokensieve.data import DataSplits, Document, Tally, load_splits, read_documents
from tokensieve.data.sampling import carve_validation, sample_by_label
from tokensieve.data.targets import class_ids, label_matrix
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.errors import ConfigError, DataError

Put = Callable[..., Path]


def _documents(labels: Iterable[Iterable[str]], texts: Iterable[str] | None = None) -> list[Document]:
    rows = [tuple(each) for each in labels]
    named = [f"document {n}" for n in range(len(rows))] if texts is None else texts
    return [Document(text, row, "a.jsonl", n + 1) for n, (text, row) in enumerate(zip(named, rows, strict=True))]


def _labels(path: Path, **settings: object) -> list[object]:
    return [document.label for document in read_documents(path, multi_label=True, **settings)]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet"])
def test_lists_of_labels(put: Put, kind: str) -> None:
    rows = [["law", "sport"], [], ["sport", "law"], ["a|b", " a "]]
    path = put(f"a.{kind}", [{"text": "one", "label": labels} for labels in rows])
    assert _labels(path) == [("law", "sport"), (), ("sport", "law"), ("a|b", "a")]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_whole_numbers_and_strings_in_place_of_lists(put: Put, kind: str) -> None:
    path = put(f"a.{kind}", [{"text": "one", "ids": [10, 9], "one": 7, "cell": "x | y|z"}])
    assert [_labels(path, label_column=name) for name in ("ids", "one", "cell")] == [
        [("10", "9")],
        [("7",)],
        [("x", "y", "z")],
    ]


@pytest.mark.parametrize("kind", ["csv", "tsv.gz"])
def test_cells_of_labels(put: Put, kind: str) -> None:
    path = put(
        f"a.{kind}", [{"text": "one", "label": cell} for cell in ("law|sport", "", "  ", "sport", " law | art ")]
    )
    assert _labels(path) == [("law", "sport"), (), (), ("sport",), ("law", "art")]
    assert _labels(path, label_separator="w|s") == [("la", "port"), (), (), ("sport",), ("law | art",)]


def test_an_empty_separator(put: Put) -> None:
    with pytest.raises(ConfigError, match="label_separator is empty"):
        read_documents(put("a.csv", "text,label\none,x\n"), multi_label=True, label_separator="")


@pytest.mark.parametrize("large", [False, True])
def test_lists_of_every_type_in_parquet(tmp_path: Path, large: bool) -> None:
    pa = needed("pyarrow")
    import pyarrow.parquet as pq

    lists = pa.large_list if large else pa.list_
    words = [["x", "y"], None, [], ["y"]]
    fixed = [["x", "y"], None, ["x", "y"], ["y", "x"]]
    if int(pa.__version__.split(".")[0]) < 25:
        fixed[1] = ["x", "x"]  # it writes no null of a fixed length
    columns = {
        "words": pa.array(words, lists(pa.large_string() if large else pa.string())),
        "bytes": pa.array([w and [v.encode() for v in w] for w in words], lists(pa.binary())),
        "coded": pa.array(words, lists(pa.string())).cast(lists(pa.dictionary(pa.int32(), pa.string()))),
        "fixed": pa.array(fixed, pa.list_(pa.string(), 2)),
        "none": pa.array([[], None, [], []], lists(pa.null())),
    }
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["one", "two", "three", "four"], **columns}), path)
    expected: list[object] = [("x", "y"), (), ("y",)]
    for name in ("words", "bytes", "coded"):
        assert _labels(path, label_column=name, policy="skip") == expected
    assert _labels(path, label_column="fixed", policy="skip") == [("x", "y"), ("x", "y"), ("y", "x")]
    assert _labels(path, label_column="none", policy="skip") == [(), (), ()]
    with pytest.raises(
        DataError, match=r"row 2: missing label: the value is null; where no label applies, give an empty"
    ):
        _labels(path, label_column="words")


BAD_LABELS = [
    ("missing label", b"null", "where no label applies, give an empty list"),
    ("missing label", b'["x", ""]', r"'' in \['x', ''\]"),
    ("missing label", b'["x", null]', r"the value is null in \['x', None\]"),
    ("missing label", b'"x||y"', r"'' in 'x\|\|y'"),
    ("label of the wrong type", b'["x", 1.5]', "float 1.5 where a string, a whole number or a boolean"),
    ("label of the wrong type", b'[["x"]]', "list .'x'. where a string"),
    ("label of the wrong type", b'{"x": 1}', "dict .'x': 1. where a string"),
    ("label of the wrong type", b"[true, false]", "look like indicators"),
    ("label of the wrong type", b"[true]", "look like indicators"),
    ("a label given twice", b"[1, 0, 0]", r"'0' in \[1, 0, 0\]; these look like indicators, 0 or 1"),
    ("a label given twice", b'["x", " x"]', "give each label that applies once"),
    ("unknown label", b"[1, 0]", "'1'; the known labels are .* look like indicators"),
    ("not valid UTF-8", b'["caf\xe9"]', "label 'caf"),
    ("unknown label", b'["x", "z"]', "'z'; the known labels are 'x', 'y'"),
]


@pytest.mark.parametrize(("reason", "value", "detail"), BAD_LABELS)
def test_bad_lists_of_labels(put: Put, reason: str, value: bytes, detail: str) -> None:
    good = b'{"text": "good", "label": ["y", "x"]}\n'
    path = put("a.jsonl", good + b'{"text": "bad", "label": ' + value + b"}\n" + good)
    with pytest.raises(DataError, match=f"line 2: {reason}: .*{detail}"):
        _labels(path, known_labels=["x", "y"])
    tally = Tally()
    assert _labels(path, known_labels=["x", "y"], policy="skip", tally=tally) == [("y", "x")] * 2
    assert tally.reasons == {reason: 1}


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_lists_read_as_single_labels_name_the_remedy(put: Put, kind: str) -> None:
    path = put(f"a.{kind}", [{"text": "one", "label": ["x"]}])
    with pytest.raises(DataError, match=r"read lists of labels with --multi-label \(multi_label=True\)"):
        list(read_documents(path))


def test_a_parquet_column_of_no_labels(put: Put) -> None:
    needed("pyarrow")
    path = put("a.parquet", [{"text": "one", "label": [date(2020, 1, 1)]}])
    with pytest.raises(
        DataError, match=r"of type list<.*date32.*>; strings, numbers or booleans, or lists of these, are wanted$"
    ):
        _labels(path)


def test_splits(put: Put, tmp_path: Path) -> None:
    put("train.jsonl", [{"text": f"text {n}", "label": ["10", "9"][: n % 3]} for n in range(30)])
    put("test.csv", [{"text": "one", "label": "9|10"}, {"text": "two", "label": ""}])
    splits = load_splits(tmp_path, multi_label=True, validation_fraction=0.2)
    assert splits.multi_label
    assert splits.label_names == ("9", "10")
    assert (len(splits.train), len(splits.validation)) == (24, 6)
    assert [document.label for document in splits.test] == [("9", "10"), ()]
    assert not DataSplits((Document("one", "x", "a.csv", 1),)).multi_label


def test_a_label_unknown_to_training(put: Put, tmp_path: Path) -> None:
    put("train.csv", [{"text": f"text {n}", "label": "x|y"[: n % 4]} for n in range(40) if n % 4 != 2])
    put("validation.csv", [{"text": "one", "label": "x|z"}, {"text": "two", "label": "y"}])
    with pytest.raises(DataError, match=r"validation\.csv, line 2: unknown label: 'z'; the known labels are 'x', 'y'"):
        load_splits(tmp_path, multi_label=True)
    assert [d.label for d in load_splits(tmp_path, multi_label=True, policy="skip").validation] == [("y",)]


def test_one_label_is_enough_if_some_documents_are_without(put: Put) -> None:
    path = put("a.jsonl", [{"text": f"text {n}", "label": ["spam"] * (n % 2)} for n in range(20)])
    splits = load_splits(path, multi_label=True)
    assert splits.label_names == ("spam",)
    assert {document.label for document in splits.train} == {(), ("spam",)}


@pytest.mark.parametrize(
    ("labels", "has"), [([], "no label"), (["x"], "the label 'x'"), (["x", "y"], "the labels 'x', 'y'")]
)
def test_documents_that_do_not_differ(put: Put, labels: list[str], has: str) -> None:
    path = put("a.jsonl", [{"text": f"text {n}", "label": labels[:: (-1) ** n]} for n in range(5)])
    with pytest.raises(
        DataError, match=f"all 5 training documents have {has}; give documents that differ in their labels"
    ):
        load_splits(path, multi_label=True)


LABELLED = st.lists(
    st.tuples(st.sets(st.sampled_from("abcde"), max_size=4), st.integers(0, 30).map("document {}".format)),
    min_size=2,
    max_size=60,
)


@given(rows=LABELLED, fraction=st.floats(0.05, 0.5), seed=st.integers(0, 5))
def test_carving_parts_without_leak_or_lost_label(rows: list[tuple[set[str], str]], fraction: float, seed: int) -> None:
    documents = _documents([sorted(labels) for labels, _ in rows], [text for _, text in rows])
    try:
        train, validation = carve_validation(documents, fraction, seed)
    except DataError:
        found = {text: {frozenset(labels) for labels, other in rows if other == text} for _, text in rows}
        same = Counter(next(iter(labels)) for labels in found.values() if len(labels) == 1)
        assert max(same.values(), default=0) < 2
        return
    assert sorted([*train, *validation], key=lambda d: d.line) == documents
    assert not {d.text for d in train} & {d.text for d in validation}
    assert DataSplits(train).label_names == DataSplits(tuple(documents)).label_names
    assert validation
    assert carve_validation(list(documents), fraction, seed) == (train, validation)


def test_carving_keeps_the_shares() -> None:
    """500 documents of a, every fifth of them also of b, every 50th also of c; 100 of none."""
    rows = [["a"] + ["b"] * (n % 5 == 0) + ["c"] * (n % 50 == 1) for n in range(500)] + [[]] * 100
    train, validation = carve_validation(_documents(rows), 0.2, seed=0)
    counts = Counter(label for d in validation for label in d.label or ["none"])
    assert counts == {"a": 100, "b": 20, "c": 2, "none": 20}
    assert len(train) == 480


def test_a_label_that_only_goes_with_rarer_ones_stays_in_training() -> None:
    """a is nobody's rarest label; whichever documents are held out, one of it is left."""
    rows = [["a", "b"], ["b"], ["a", "c"], ["c"], ["a", "d"], ["d"]]
    for seed in range(50):
        train, validation = carve_validation(_documents(rows), 0.5, seed)
        assert {label for d in train for label in d.label or ()} == {"a", "b", "c", "d"}
        assert validation


def test_the_same_text_with_its_labels_in_another_order_is_no_contradiction() -> None:
    documents = _documents([["x", "y"], ["y", "x"], ["x", "y"]], ["one", "one", "two"])
    train, validation = carve_validation(documents, 0.5, seed=0)
    assert {len(train), len(validation)} == {1, 2}


@given(rows=LABELLED, limit=st.integers(1, 70))
def test_samples_have_every_label_and_only_grow(rows: list[tuple[set[str], str]], limit: int) -> None:
    documents = _documents([sorted(labels) for labels, _ in rows], [text for _, text in rows])
    sample = sample_by_label(documents, limit)
    assert len(sample) == min(limit, len(documents))
    assert set(sample) <= set(sample_by_label(documents, limit + 1))
    names = DataSplits(tuple(documents)).label_names
    if limit >= len(names):
        assert DataSplits(sample).label_names == names


def test_limited_splits_keep_the_labels() -> None:
    rows = [["common"]] * 90 + [["common", "rare"]] * 2 + [[]] * 60
    splits = DataSplits(tuple(_documents(rows)))
    limited = splits.limited(train=20)
    counts = Counter(label for d in limited.train for label in d.label or ["none"])
    assert limited.label_names == ("common", "rare")
    assert 6 <= counts["none"] <= 9
    with pytest.raises(ConfigError, match="limit of 1 training documents leaves out some of the 2 labels"):
        splits.limited(train=1)


def test_rows_of_zeros_and_ones() -> None:
    matrix = label_matrix(_documents([["y"], [], ["x", "y"]]), ["x", "y", "z"])
    assert matrix.dtype == torch.float32
    assert matrix.tolist() == [[0, 1, 0], [0, 0, 0], [1, 1, 0]]
    assert label_matrix([], ["x"]).shape == (0, 1)


def test_labels_of_the_other_kind() -> None:
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: the label 'z' is none of 'x', 'y'"):
        label_matrix(_documents([["x"], ["y", "z"]]), ["x", "y"])
    single = Document("one", "x", "a.csv", 7)
    with pytest.raises(DataError, match=r"a\.csv, line 7: the label 'x' is no list of labels; .*--multi-label"):
        label_matrix([single], ["x"])
    with pytest.raises(DataError, match=r"a\.csv, line 7: the label 'x' is no list"):
        label_matrix([*_documents([["x"]]), single], ["x"])
    with pytest.raises(DataError, match=r"line 1: the label \('x',\) is none of 'x'"):
        class_ids(_documents([["x"]]), ["x"])


def test_the_collator_of_trainer_makes_a_float_matrix(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    documents = _documents([["x", "y"], [], ["y"]], ["good film", "bad", "law"])
    dataset = TokenizedDocuments(documents, tiny_tokenizer, 8, ["x", "y"])
    assert dataset[1]["labels"] == [0.0, 0.0]
    assert dataset.class_ids == []
    assert torch.equal(dataset.label_matrix, label_matrix(documents, ["x", "y"]))  # type: ignore[arg-type]
    (batch,) = DataLoader(dataset, batch_size=3, collate_fn=DataCollatorWithPadding(tiny_tokenizer))
    assert batch["labels"].dtype == torch.float32
    assert batch["labels"].tolist() == [[1, 1], [0, 0], [0, 1]]
    single = TokenizedDocuments([Document("good", "x", "a.csv", 1)], tiny_tokenizer, 8, ["x", "y"])
    assert (single.label_matrix, single.class_ids) == (None, [0])
