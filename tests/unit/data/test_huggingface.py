"""Data sets of the package datasets: saved folders as they are, names by a stand-in for load_dataset."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.packages import needed
from tokensieve.data import DataSplits, Tally, load_splits, read_documents, resolve_split_file
from tokensieve.data.huggingface import open_dataset
from tokensieve.errors import ConfigError, DataError, MissingExtraError

datasets = needed("datasets")

Load = Callable[..., Any]
FEATURES = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg"])}


def _dataset(count: int, start: int = 0, label: int | None = None) -> Any:
    rows = range(start, start + count)
    columns = {"text": [f"text {n}" for n in rows], "label": [n % 2 if label is None else label for n in rows]}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(FEATURES))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """What load_dataset was called with; it gives a training split of 20 rows and a validation and test split."""
    calls = []

    def load_dataset(name: str, config: str | None = None) -> Any:
        calls.append((name, config))
        return datasets.DatasetDict(train=_dataset(20), validation=_dataset(6, 100), test=_dataset(8, 200))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return calls


def test_a_saved_data_set_is_for_training(tmp_path: Path) -> None:
    _dataset(20).save_to_disk(tmp_path / "set")
    for path in (tmp_path / "set", str(tmp_path / "set")):
        splits = load_splits(path, validation_fraction=0.25)
        assert (len(splits.train), len(splits.validation), splits.test) == (15, 5, ())
        assert splits.label_names == ("neg", "pos")
        assert splits.tallies["train"].read == 20
    (first, second, *_) = read_documents(tmp_path / "set")
    assert (first.text, first.label, first.source, first.line) == ("text 0", "pos", str(tmp_path / "set"), 1)
    assert (second.label, second.line) == ("neg", 2)
    assert resolve_split_file(tmp_path / "set", "test").data.num_rows == 20  # type: ignore[union-attr]


def test_a_saved_dictionary_of_splits(tmp_path: Path) -> None:
    parts = {"train": _dataset(20), "Valid": _dataset(6, 100), "test": _dataset(8, 200), "unsupervised": _dataset(3)}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "set")
    splits = load_splits(tmp_path / "set")
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (20, 6, 8)
    assert splits.validation[0].source == f"{tmp_path / 'set'}[Valid]"
    assert [d.text for d in read_documents(resolve_split_file(tmp_path / "set", "dev"))] == [
        f"text {n}" for n in range(100, 106)
    ]
    assert len(list(read_documents(tmp_path / "set" / "train"))) == 20
    with pytest.raises(DataError, match=r"has the splits 'train', 'Valid', .*; give the folder of one of them"):
        read_documents(tmp_path / "set")
    with pytest.raises(ConfigError, match="unknown split 'unsupervised'"):
        resolve_split_file(tmp_path / "set", "unsupervised")


def test_splits_that_are_missing_or_there_twice(tmp_path: Path) -> None:
    datasets.DatasetDict(test=_dataset(4)).save_to_disk(tmp_path / "one")
    with pytest.raises(DataError, match=r"one has no train split \(train or training\); its splits are 'test'"):
        load_splits(tmp_path / "one")
    with pytest.raises(DataError, match="one has no validation split"):
        resolve_split_file(tmp_path / "one", "dev")
    assert len(list(read_documents(tmp_path / "one"))) == 4, "the only split is the one meant"
    datasets.DatasetDict(train=_dataset(4), dev=_dataset(4), val=_dataset(4)).save_to_disk(tmp_path / "two")
    with pytest.raises(DataError, match="more than one validation split: 'dev', 'val'; keep one of them"):
        load_splits(tmp_path / "two")


def test_lists_of_classes(tmp_path: Path) -> None:
    lists = {"text": ["a", "b", "c", "d"], "label": [[1, 0], [], [0], [1]]}
    features = FEATURES | {"label": datasets.Sequence(FEATURES["label"])}
    datasets.Dataset.from_dict(lists, features=datasets.Features(features)).save_to_disk(tmp_path / "set")
    splits = load_splits(tmp_path / "set", multi_label=True, validation_fraction=0)
    assert [d.label for d in splits.train] == [("neg", "pos"), (), ("pos",), ("neg",)]
    with pytest.raises(
        DataError, match=r"strings, numbers or booleans are wanted; read lists of labels with --multi-label"
    ):
        load_splits(tmp_path / "set")


def test_columns_without_classes(tmp_path: Path) -> None:
    columns = {"question": ["a", "b"], "passage": ["c", "d"], "stars": [3, 5], "tags": [["x"], []], "other": [1.5, 2]}
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "set")
    names = {"text_column": "question", "pair_column": "passage"}
    documents = list(read_documents(tmp_path / "set", label_column="stars", **names))  # type: ignore[arg-type]
    assert [(d.text, d.pair, d.label) for d in documents] == [("a", "c", "3"), ("b", "d", "5")]
    tagged = read_documents(tmp_path / "set", label_column="tags", multi_label=True, **names)  # type: ignore[arg-type]
    assert [d.label for d in tagged] == [("x",), ()]
    with pytest.raises(DataError, match=r"has no column 'text'; its columns are 'question', .*--text-column"):
        list(read_documents(tmp_path / "set"))
    with pytest.raises(DataError, match=r"row 1: label of the wrong type: float 1\.5"):
        list(read_documents(tmp_path / "set", label_column="other", **names))  # type: ignore[arg-type]


def test_rows_that_cannot_be_used(tmp_path: Path) -> None:
    columns = {"text": ["a", "", None, "d", "e"], "label": [0, 1, 1, -1, 1]}
    datasets.Dataset.from_dict(columns, features=datasets.Features(FEATURES)).save_to_disk(tmp_path / "set")
    with pytest.raises(DataError, match=r"set, row 2: empty text: ''"):
        list(read_documents(tmp_path / "set"))
    tally = Tally()
    assert [d.line for d in read_documents(tmp_path / "set", policy="skip", tally=tally)] == [1, 5]
    assert tally.reasons == {"empty text": 1, "missing text": 1, "missing label": 1}


def test_rows_in_the_order_of_the_data_set(tmp_path: Path) -> None:
    """More rows than a batch, picked and shuffled before they were saved, with a format set."""
    data = _dataset(5000).shuffle(seed=0).select(range(0, 5000, 2))
    data.with_format("numpy").save_to_disk(tmp_path / "set")
    assert [d.text for d in read_documents(tmp_path / "set")] == list(data["text"])


def test_a_test_split_kept_secret_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    datasets.DatasetDict(train=_dataset(20), test=_dataset(3000, label=-1)).save_to_disk(tmp_path / "set")
    with caplog.at_level(logging.INFO, logger="tokensieve"):
        assert load_splits(tmp_path / "set").test == ()
    assert "set[test]: left out, as none of its rows has a label" in caplog.text
    with pytest.raises(DataError, match=r"set\[test\], row 1: missing label"):
        list(read_documents(resolve_split_file(tmp_path / "set")))
    half = datasets.concatenate_datasets([_dataset(2000, label=-1), _dataset(1)])
    datasets.DatasetDict(train=_dataset(20), test=half).save_to_disk(tmp_path / "half")
    caplog.clear()
    assert len(load_splits(tmp_path / "half").test) == 1
    assert "test split: 2000 of 2001 records cannot be used; the first: " in caplog.text
    assert "half[test], row 1: missing label" in caplog.text


def test_a_broken_folder(tmp_path: Path) -> None:
    _dataset(4).save_to_disk(tmp_path / "set")
    (tmp_path / "set" / "data-00000-of-00001.arrow").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"set: a data set that cannot be read .*; write it again with save_to_disk"):
        read_documents(tmp_path / "set")


@pytest.mark.parametrize(
    ("name", "call"),
    [("imdb", ("imdb", None)), ("nyu-mll/glue:sst2", ("nyu-mll/glue", "sst2")), ("a_b/c.d", ("a_b/c.d", None))],
)
def test_names(hub: list[tuple[str, str | None]], name: str, call: tuple[str, str | None]) -> None:
    splits = load_splits(name)
    assert hub == [call], "one call for all splits"
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (20, 6, 8)
    assert splits.test[0].source == f"{name}[test]"
    assert len(list(read_documents(resolve_split_file(name, "validation")))) == 6


def test_a_path_that_exists_is_no_name(
    hub: list[tuple[str, str | None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f'{{"text": "text {n}", "label": {n % 2}}}\n' for n in range(10))
    Path("imdb").mkdir()
    Path("imdb", "train.jsonl").write_text(rows)
    assert isinstance(load_splits("imdb"), DataSplits)
    for path in ("imdb/nothing/at/all", "missing.csv", "a/missing.jsonl.gz", Path("missing")):
        with pytest.raises(DataError, match="no such file"):
            load_splits(path)
    assert open_dataset("-") is None, "standard input"
    assert hub == []


def test_a_data_set_without_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config: _dataset(10))
    assert len(load_splits("imdb", validation_fraction=0).train) == 10
    assert len(list(read_documents("imdb"))) == 10


@pytest.mark.parametrize("read", [load_splits, read_documents, resolve_split_file])
def test_offline(read: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real load_dataset, which the environment tells to stay offline."""
    with pytest.raises(DataError) as caught:
        read("someone/something:small")
    message = str(caught.value)
    assert message.startswith(
        "someone/something:small: no such file or folder, nor a data set that can be loaded (Couldn"
    )
    assert "OfflineModeIsEnabled" in message and "name:config" in message and "save_to_disk" in message
    assert message.isprintable()


def test_a_name_too_long_for_a_file() -> None:
    with pytest.raises(DataError, match="no such file or folder, nor a data set"):
        load_splits("x" * 300)


@pytest.mark.parametrize("error", [ValueError("Unknown config\nmore"), RuntimeError(""), KeyError("x")])
def test_whatever_loading_raises(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(name: str, config: str | None) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(
        DataError, match=r"^imdb: no such file .* \((Unknown config|RuntimeError|'x')\); check the path"
    ):
        load_splits("imdb")


def test_the_name_of_a_format(
    hub: list[tuple[str, str | None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("text,label\nsecret,x\n")
    with pytest.raises(DataError, match="csv: no such file or folder, and the name of a format"):
        load_splits("csv")
    assert hub == []


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _dataset(4).save_to_disk(tmp_path / "set")
    monkeypatch.setitem(sys.modules, "datasets", None)
    install = r"needs the package 'datasets', which is not installed: pip install 'tokensieve\[datasets\]'"
    with pytest.raises(MissingExtraError, match=f"reading a saved data set {install}"):
        load_splits(tmp_path / "set")
    with pytest.raises(MissingExtraError, match=f"'newz' is no file or folder; .* {install}"):
        load_splits("newz")
    with pytest.raises(DataError, match="no such file"):
        load_splits("news.csv")
