"""--delimiter: the character between the columns, for every file that has columns divided by one."""

import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tokensieve.data import load_splits, read_documents, resolve_split_file
from tokensieve.errors import ConfigError, DataError

Put = Callable[..., Path]
ROWS = [("one", "x"), ("two", "y")] * 10


def _table(delimiter: str) -> str:
    return "".join(f"{text}{delimiter}{label}\n" for text, label in [("text", "label"), *ROWS])


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.csv.gz"])
@pytest.mark.parametrize(
    ("delimiter", "character"),
    [(";", ";"), ("|", "|"), ("tab", "\t"), ("\\t", "\t"), ("\t", "\t"), (",", ","), (" ", " ")],
)
def test_files(put: Put, name: str, delimiter: str, character: str) -> None:
    data = _table(character).encode()
    path = put(name, gzip.compress(data) if name.endswith("gz") else data)
    assert [(d.text, d.label) for d in read_documents(path, delimiter=delimiter)] == ROWS
    assert [d.line for d in read_documents(path, delimiter=delimiter)] == list(range(2, 22))


def test_the_rules_go_with_the_delimiter(put: Put) -> None:
    """Semicolons: quotes as in CSV, over several lines too; tabs: a record a line."""
    path = put("a.tsv", 'text;label\n"one\ntwo; three";x\n')
    assert [d.text for d in read_documents(path, delimiter=";")] == ["one\ntwo; three"]
    path = put("a.csv", 'text\tlabel\n"one\tx\ntwo\ty\n')
    assert [d.text for d in read_documents(path, delimiter="tab")] == ['"one', "two"]


@pytest.mark.parametrize("delimiter", ["", ";;", "a", "7", '"', "\n", "\r", "\0", "TAB", "semicolon"])
def test_what_divides_nothing(put: Put, delimiter: str) -> None:
    with pytest.raises(ConfigError, match="give the one character that divides the columns"):
        read_documents(put("a.csv", _table(",")), delimiter=delimiter)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.parquet"])
def test_files_without_columns_of_text(put: Put, name: str) -> None:
    rows = [{"text": "one", "label": "x"}]
    path = put(name, json.dumps(rows) if name == "a.json" else rows)
    with pytest.raises(ConfigError, match=r"delimiter: it is for CSV, TSV and text files; .* is (JSON|PARQ)"):
        list(read_documents(path, delimiter=";"))


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(_table(";").encode())))
    assert len(list(read_documents("-", format="csv", delimiter=";"))) == 20


def test_splits_of_a_folder(put: Put, tmp_path: Path) -> None:
    """Files that are not divided so are read as ever; text files are tables, but for documents without labels."""
    put("train.txt", _table(";"))
    put("validation.jsonl", [{"text": "one", "label": "x"}, {"text": "two", "label": "y"}])
    put("test.csv", _table(";"))
    more = put("more.txt", "text; of one line\nanother\n")
    splits = load_splits(tmp_path, delimiter=";", unlabelled=more)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (20, 2, 20)
    assert [d.text for d in splits.unlabelled] == ["text; of one line", "another"]
    assert resolve_split_file(tmp_path, "train", tables=True) == tmp_path / "train.txt"
    with pytest.raises(DataError, match="has no training file"):
        load_splits(tmp_path)


def test_a_table_in_a_text_file_names_the_option(put: Put) -> None:
    with pytest.raises(DataError, match=r"plain text holds no labels; .*--delimiter"):
        list(read_documents(put("a.txt", _table(";"))))
