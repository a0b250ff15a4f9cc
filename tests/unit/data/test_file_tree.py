"""A folder as a source: which of its files are read, and in which order."""

import logging
from pathlib import Path

import pytest

from support.data_files import write_rows
from tokensieve.data import read_documents
from tokensieve.data.file_tree import files_below
from tokensieve.errors import DataError


def test_files_of_all_depths_in_the_order_of_their_paths(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = [
        "b.csv",
        "a/z.jsonl",
        "a/y.parquet",
        "a.jsonl.gz",
        "a/_SUCCESS",
        ".hidden.csv",
        "_temporary/x.csv",
        "notes.md",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if name.endswith((".md", "_SUCCESS")):
            (tmp_path / name).write_text("no data")
        else:
            write_rows(tmp_path / name, [{"text": f"a text of {name}"}])
    with caplog.at_level(logging.WARNING, "tokensieve"):
        found = files_below(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "a.jsonl.gz",
        "a/y.parquet",
        "a/z.jsonl",
        "b.csv",
    ]
    assert "left out: 'notes.md'" in caplog.text
    documents = list(read_documents(found, label_column=None))
    assert [document.text.rpartition(" ")[2] for document in documents] == [
        "a.jsonl.gz",
        "a/y.parquet",
        "a/z.jsonl",
        "b.csv",
    ]


def test_a_folder_without_data(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("no data")
    with pytest.raises(DataError, match="has no data file"):
        files_below(tmp_path)
