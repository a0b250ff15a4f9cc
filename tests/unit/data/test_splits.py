"""Splits: the right file for each, a validation split that leaks nothing, labels in a fixed order."""

import logging
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.data import DataSplits, Document, load_splits, read_documents, resolve_split_file
from tokensieve.data.sampling import carve_validation, sample_by_label
from tokensieve.data.splits import sort_labels
from tokensieve.errors import ConfigError, DataError

Put = Callable[..., Path]


def _rows(count: int, labels: str = "xy", start: int = 0) -> list[dict[str, str]]:
    return [{"text": f"document {n}", "label": labels[n % len(labels)]} for n in range(start, start + count)]


def _documents(labels: list[str], texts: list[str] | None = None) -> list[Document]:
    texts = texts or [f"document {n}" for n in range(len(labels))]
    return [Document(text, label, "a.csv", n + 2) for n, (text, label) in enumerate(zip(texts, labels, strict=True))]


LABELLED = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(0, 30).map("document {}".format)), min_size=2, max_size=60
)


@given(pairs=LABELLED, fraction=st.floats(0.05, 0.5), seed=st.integers(0, 5))
def test_carving_parts_without_loss_or_leak(pairs: list[tuple[str, str]], fraction: float, seed: int) -> None:
    documents = _documents([label for label, _ in pairs], [text for _, text in pairs])
    try:
        train, validation = carve_validation(documents, fraction, seed)
    except DataError:
        single = {text: {label for label, other in pairs if other == text} for _, text in pairs}
        texts_of = Counter(next(iter(labels)) for labels in single.values() if len(labels) == 1)
        assert max(texts_of.values(), default=0) < 2
        return
    assert sorted([*train, *validation], key=lambda d: d.line) == documents
    assert [d.line for d in train] == sorted(d.line for d in train)
    assert not {d.text for d in train} & {d.text for d in validation}
    assert {d.label for d in train} == {d.label for d in documents}
    assert validation
    assert carve_validation(documents, fraction, seed) == (train, validation)


def test_carving_keeps_the_shares_of_the_labels() -> None:
    documents = _documents(["a"] * 500 + ["b"] * 100 + ["c"] * 20 + ["d"])
    train, validation = carve_validation(documents, 0.2, seed=0)
    assert Counter(d.label for d in validation) == {"a": 100, "b": 20, "c": 4}
    assert Counter(d.label for d in train) == {"a": 400, "b": 80, "c": 16, "d": 1}
    assert carve_validation(documents, 0.2, seed=1)[1] != validation


def test_many_small_labels_have_one_document_each_in_validation() -> None:
    documents = _documents([str(n % 150) for n in range(300)])
    train, validation = carve_validation(documents, 0.2, seed=0)
    assert set(Counter(d.label for d in validation).values()) == {1}
    assert len(validation) == len(train) == 150


def test_one_document_a_label_cannot_be_carved(put: Put) -> None:
    path = put("a.csv", _rows(2))
    with pytest.raises(DataError, match=r"no label has two different documents; give a validation file.*fraction=0"):
        load_splits(path)
    assert load_splits(path, validation_fraction=0).validation == ()


@pytest.mark.parametrize("fraction", [-0.1, 0.51, 1.0, float("nan")])
def test_fractions_out_of_range(put: Put, fraction: float) -> None:
    with pytest.raises(ConfigError, match=r"validation_fraction is .*; it has to be from 0 to 0\.5"):
        load_splits(put("a.csv", _rows(20)), validation_fraction=fraction)


BAD_TESTS = {
    "test.jsonl": ('{"text": "one", "label": "z"}\n{"text": "two", "label": "x"}\n', "1 of 2 .*unknown label: 'z'", 1),
    "test.csv": ("body,label\none,x\n", "has no column 'text'", 0),
    "test.tsv": ("", "is empty", 0),
    "test.csv.gz": ("text,label", "broken gzip data", 0),
    "test.parquet": ("text,label", "not a Parquet file", 0),
    "test.json": ('{"text": ["one"]}', "holds a single JSON object", 0),
    "test-00001-of-00002.csv": ("text,label\none,x\n", "has not all parts of the test split", 0),
}


@pytest.mark.parametrize("name", BAD_TESTS)
def test_nothing_about_a_test_file_stops_training(
    put: Put, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    content, problem, used = BAD_TESTS[name]
    put("train.csv", _rows(20))
    put(name, content)
    with caplog.at_level(logging.WARNING, logger="tokensieve"):
        splits = load_splits(tmp_path)
    assert len(splits.test) == used
    (warning,) = caplog.messages
    assert re.search(problem, warning)
    assert name in warning
    assert warning.startswith("test split: ")
    assert "evaluate' will refuse it" in warning
    with pytest.raises(DataError, match=problem.partition(".*")[2] or problem):
        list(read_documents(resolve_split_file(tmp_path), known_labels=["x", "y"]))


def test_two_test_files_do_not_stop_training(put: Put, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("train.csv", "test.csv", "test.jsonl"):
        put(name, _rows(20))
    with caplog.at_level(logging.WARNING, logger="tokensieve"):
        assert load_splits(tmp_path).test == ()
    assert "more than one file for the test split: test.csv and test.jsonl" in caplog.text


def test_bad_validation_files_do(put: Put, tmp_path: Path) -> None:
    put("train.csv", _rows(20))
    put("validation.csv", "text,label\none,z\n")
    with pytest.raises(DataError, match=r"validation\.csv, line 2: unknown label"):
        load_splits(tmp_path)


def test_one_split_is_found_whatever_the_others_are(put: Put, tmp_path: Path) -> None:
    for name in ("train.csv", "train.jsonl", "test.csv"):
        put(name, _rows(4))
    assert resolve_split_file(tmp_path, "test") == tmp_path / "test.csv"


def test_a_single_file_is_for_training(put: Put) -> None:
    splits = load_splits(put("a.jsonl", _rows(50)), validation_fraction=0.1)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (45, 5, 0)
    assert (splits.tallies["train"].read, splits.tallies["train"].used) == (50, 50)
    assert list(splits.tallies) == ["train"]


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev", "Dev"])
def test_a_folder_of_split_files(put: Put, tmp_path: Path, name: str) -> None:
    put("train.jsonl.gz", _rows(40))
    put(f"{name}.csv", _rows(6, start=100))
    put("test.parquet", _rows(8, start=200))
    put("train_10shot.csv", _rows(4))
    put("train.md", "notes")
    (tmp_path / "train.csv").mkdir()
    splits = load_splits(tmp_path)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (40, 6, 8)
    assert {Path(d.source).name for d in splits.validation} == {f"{name}.csv"}
    assert {split: tally.used for split, tally in splits.tallies.items()} == {"train": 40, "validation": 6, "test": 8}


def test_validation_is_never_taken_from_test(put: Put, tmp_path: Path) -> None:
    put("train.csv", _rows(40))
    put("test.csv", _rows(10, start=100))
    splits = load_splits(tmp_path)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (32, 8, 10)
    assert {Path(d.source).name for d in (*splits.train, *splits.validation)} == {"train.csv"}


def test_two_files_for_one_split(put: Put, tmp_path: Path) -> None:
    put("train.csv", _rows(4))
    put("dev.csv", _rows(4))
    put("valid.jsonl.gz", _rows(4))
    with pytest.raises(DataError, match=r"more than one file for the validation split: dev\.csv and valid\.jsonl\.gz"):
        load_splits(tmp_path)


def test_a_folder_without_training_file_lists_what_it_has(put: Put, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no training file .*; it has nothing"):
        load_splits(tmp_path)
    put("test.csv", _rows(4))
    put("train.xlsx", b"")
    with pytest.raises(DataError, match=r"has no training file .*train or training.*; it has test\.csv, train\.xlsx"):
        load_splits(tmp_path)


def test_a_missing_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_splits(tmp_path / "nothing")


def test_fewer_than_two_labels(put: Put) -> None:
    with pytest.raises(DataError, match="all 5 training documents have the label 'x'; give documents of at least two"):
        load_splits(put("a.csv", _rows(5, labels="x")))


def test_labels_unknown_to_training(put: Put, tmp_path: Path) -> None:
    put("train.csv", _rows(10))
    put("validation.csv", _rows(6, labels="xyz"))
    put("test.csv", _rows(6, labels="zzy"))
    with pytest.raises(DataError, match=r"validation\.csv, line 4: unknown label: 'z'; the known labels are 'x', 'y'"):
        load_splits(tmp_path)
    splits = load_splits(tmp_path, policy="skip")
    assert (len(splits.validation), len(splits.test)) == (4, 2)
    for split, rejected in (("train", 0), ("validation", 2), ("test", 4)):
        tally = splits.tallies[split]
        assert (tally.rejected, tally.read) == (rejected, tally.used + rejected)
    assert splits.tallies["test"].reasons == {"unknown label": 4}


def test_bad_rows_follow_the_policy(put: Put) -> None:
    path = put("a.csv", [*_rows(10), {"text": "", "label": "x"}])
    with pytest.raises(DataError, match="line 12: empty text"):
        load_splits(path)
    splits = load_splits(path, policy="skip")
    assert len(splits.train) + len(splits.validation) == splits.tallies["train"].used == 10


def test_columns_are_handed_on(put: Put) -> None:
    path = put("a.tsv", [{"body": f"one {n}", "stars": n % 3} for n in range(20)])
    assert load_splits(path, text_column="body", label_column="stars").label_names == ("0", "1", "2")


def test_label_order() -> None:
    assert sort_labels({"10", "9", "-1", "007"}) == ("-1", "007", "9", "10")
    assert sort_labels({"10", "9", "x"}) == ("10", "9", "x")
    assert sort_labels({"²", "1"}) == ("1", "²")
    assert sort_labels({"9" * 5000, "10"}) == ("10", "9" * 5000)
    assert sort_labels({"b", "B", "a", "é"}) == ("B", "a", "b", "é")
    assert DataSplits(tuple(_documents(["y", "x", "y"]))).label_names == ("x", "y")


def test_split_file_of_a_folder(put: Put, tmp_path: Path) -> None:
    test = put("test.jsonl.gz", _rows(2))
    dev = put("dev.csv", _rows(2))
    assert resolve_split_file(tmp_path) == test
    assert resolve_split_file(tmp_path, "validation") == resolve_split_file(tmp_path, "dev") == dev
    with pytest.raises(DataError, match=r"no file for the train split .*; it has dev\.csv, test\.jsonl\.gz"):
        resolve_split_file(tmp_path, "train")
    with pytest.raises(ConfigError, match="unknown split 'holdout': use one of train, validation, test"):
        resolve_split_file(tmp_path, "holdout")


def test_split_file_of_a_file_is_the_file(tmp_path: Path) -> None:
    assert resolve_split_file(tmp_path / "a.csv") == tmp_path / "a.csv"
    assert str(resolve_split_file("-")) == "-"


@given(labels=st.lists(st.sampled_from("aaaaabbc"), min_size=1, max_size=80), limit=st.integers(1, 90))
def test_samples_keep_order_and_shares(labels: list[str], limit: int) -> None:
    documents = _documents(labels)
    sample = sample_by_label(documents, limit)
    assert len(sample) == min(limit, len(documents))
    assert [d.line for d in sample] == sorted(d.line for d in sample)
    assert set(sample) <= set(sample_by_label(documents, limit + 1))
    counts = Counter(labels)
    if limit >= len(counts):
        assert {d.label for d in sample} == set(labels)
    for label, count in Counter(d.label for d in sample).items():
        assert label is not None
        assert abs(count - counts[label] * len(sample) / len(documents)) <= len(counts)


def test_a_sample_has_the_shares_of_the_labels() -> None:
    documents = _documents(["a"] * 700 + ["b"] * 250 + ["c"] * 50)
    assert Counter(d.label for d in sample_by_label(documents, 100)) == {"a": 70, "b": 25, "c": 5}


def test_limited_splits() -> None:
    documents = tuple(_documents([*"abcd" * 25]))
    splits = DataSplits(documents, documents, documents)
    limited = splits.limited(train=8, validation=2)
    assert Counter(d.label for d in limited.train) == {"a": 2, "b": 2, "c": 2, "d": 2}
    assert (len(limited.validation), len(limited.test)) == (2, 100)
    assert limited.label_names == splits.label_names
    with pytest.raises(
        ConfigError, match="limit of 3 training documents leaves out some of the 4 labels; raise it to 4"
    ):
        splits.limited(train=3)
    with pytest.raises(ConfigError, match="limit of 0 documents"):
        splits.limited(test=0)


def test_documents_without_labels(put: Put, tmp_path: Path) -> None:
    """One file more, of any format; its labels, if it has some, are not read."""
    put("data/train.csv", [{"body": row["text"], "label": row["label"]} for row in _rows(20)])
    more = put("more.jsonl", [{"body": f"more {n}", "label": n} for n in range(10)])
    splits = load_splits(tmp_path / "data", text_column="body", unlabelled=more)
    assert [document.text for document in splits.unlabelled] == [f"more {n}" for n in range(10)]
    assert {document.label for document in splits.unlabelled} == {None}
    assert (splits.tallies["unlabelled"].used, len(splits.train)) == (10, 16)
    few = splits.limited(train=4, unlabelled=3).unlabelled
    assert len(few) == 3 and set(few) <= set(splits.limited(unlabelled=5).unlabelled) < set(splits.unlabelled)
    assert splits.limited(train=4).unlabelled == splits.unlabelled
    with pytest.raises(ConfigError, match="limit of 0 documents"):
        splits.limited(unlabelled=0)
    plain = put("more.txt", "one\ntwo\n")
    assert len(load_splits(tmp_path / "data", text_column="body", unlabelled=plain).unlabelled) == 2
    with pytest.raises(DataError, match="body"):
        load_splits(tmp_path / "data", text_column="body", unlabelled=put("bad.csv", _rows(3)))


@pytest.mark.parametrize("kind", ["parquet", "jsonl.gz"])
def test_a_split_in_parts_is_read_in_order(put: Put, tmp_path: Path, kind: str) -> None:
    files = [put(f"train-{part:05}-of-00003.{kind}", _rows(4, start=4 * part)) for part in (2, 0, 1)]
    put(f"test-00000-of-00001.{kind}", _rows(5))
    splits = load_splits(tmp_path, validation_fraction=0)
    assert [d.text for d in splits.train] == [f"document {n}" for n in range(12)]
    assert splits.train[11].source == str(files[0])
    assert (splits.train[11].line, splits.tallies["train"].used, len(splits.test)) == (4, 12, 5)
    assert [d.text for d in read_documents(resolve_split_file(tmp_path, "train"))] == [d.text for d in splits.train]


@pytest.mark.parametrize(
    "names",
    [
        ["train-00000-of-00002.csv"],
        ["train-00001-of-00002.csv", "train.csv"],
        ["train-00000-of-00002.csv", "train-00001-of-00002.jsonl"],
        ["train-00000-of-00002.csv", "training-00001-of-00002.csv"],
        ["train-00000-of-00001.csv", "train-00000-of-00002.csv", "train-00001-of-00002.csv"],
    ],
)
def test_parts_that_are_not_whole(put: Put, tmp_path: Path, names: list[str]) -> None:
    for name in names:
        put(name, _rows(4))
    with pytest.raises(DataError, match="has not all parts of the train split, or other files beside them: ") as caught:
        load_splits(tmp_path)
    assert all(name in str(caught.value) for name in names)


def test_real_folder(shared_data: Path) -> None:
    splits = load_splits(shared_data / "bbc")
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1550, 225, 450)
    assert splits.label_names == ("business", "entertainment", "politics", "sport", "tech")
