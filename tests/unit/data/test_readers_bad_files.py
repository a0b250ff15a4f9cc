"""Files that cannot be read at all: one error, at once, that says what the file is and what to do."""

import gzip
import io
import json
import os
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from support.packages import needed
from tokensieve.data import load_splits, read_documents, resolve_split_file, sources
from tokensieve.data.readers import Policy
from tokensieve.errors import DataError

Put = Callable[..., Path]
Read = Callable[..., object]
POLICIES: list[Policy] = ["error", "skip"]
JSON_LINE = b'{"text": "one", "label": "x"}\n'


def _refuses(path: Path, match: str, **settings: str | None) -> None:
    """Both policies refuse the file: a file that is wrong as a whole is no bad row."""
    for policy in POLICIES:
        with pytest.raises(DataError, match=match) as caught:
            list(read_documents(path, policy=policy, **settings))  # type: ignore[arg-type]
        assert str(path) in str(caught.value)


def test_a_missing_file_is_refused_before_iteration(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_documents(tmp_path / "a.csv")


def test_a_folder_where_a_file_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    _refuses(tmp_path / "a.csv", "is not a file: give one data file")


@pytest.mark.parametrize("name", ["a.xlsx", "a.arrow", "a", "a.gz", "a.pkl.gz"])
def test_an_unknown_extension(put: Put, name: str) -> None:
    _refuses(put(name, JSON_LINE), r"names no known format: write the data as one of \.csv, \.tsv, \.jsonl.*rename")


def test_parquet_in_gzip(put: Put) -> None:
    _refuses(put("a.parquet.gz", b""), "Parquet is compressed inside")


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "csv.gz"])
def test_an_empty_file(put: Put, kind: str) -> None:
    _refuses(put(f"a.{kind}", b""), "is empty: give a file with at least one record")


def test_nothing_inside_the_gzip(put: Put) -> None:
    _refuses(put("a.jsonl.gz", gzip.compress(b"")), "is empty")


@pytest.mark.parametrize(
    ("kind", "content"), [("csv", "text,label\n"), ("jsonl", "\n\n"), ("csv", "\ufefftext,label\n\n")]
)
def test_a_file_without_records(put: Put, kind: str, content: str) -> None:
    _refuses(put(f"a.{kind}", content), "holds no records")


def test_a_csv_of_blank_lines(put: Put) -> None:
    _refuses(put("a.csv", "\n\n"), "is blank: give a file with a header line")


@pytest.mark.parametrize("keep", [0.95, 0.5, 0.01])
def test_truncated_gzip(put: Put, keep: float) -> None:
    lines = b"".join(b'{"text": "%d", "label": "x"}\n' % n for n in range(5000))
    data = gzip.compress(lines)
    _refuses(put("a.jsonl.gz", data[: int(keep * len(data))]), "broken gzip data .*fetch or compress the file again")


def test_damaged_gzip(put: Put) -> None:
    data = bytearray(gzip.compress(os.urandom(1000).hex().encode() * 100))
    data[len(data) // 2] ^= 0xFF
    _refuses(put("a.txt.gz", bytes(data)), "broken gzip data", label_column=None)


def test_gzip_in_name_only(put: Put) -> None:
    _refuses(put("a.jsonl.gz", JSON_LINE), "broken gzip data .Not a gzipped file")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (gzip.compress(JSON_LINE, mtime=0), "is compressed with gzip: give it a name that ends in .gz"),
        (b"PAR1\x15\x04", "is a Parquet file: give it a name that ends in .parquet"),
        (b"PK\x03\x04\x14", "is a zip archive or a spreadsheet workbook: save its sheet as CSV"),
        ("text,label\none,x\n".encode("utf-16"), "is in UTF-16: save it as UTF-8"),
        ("text,label\none,x\n".encode("utf-16-be"), "looks as if it was in UTF-16, without a byte order mark: save it"),
        ("text,label\none,x\n".encode("utf-16-le"), "looks as if it was in UTF-16, without a byte order mark: save it"),
        ("text,label\none,x\n".encode("utf-32"), "is in UTF-32: save it as UTF-8"),
        (b"\0\0\xfe\xff" + "text,label\n".encode("utf-32-be"), "is in UTF-32: save it as UTF-8"),
        ("text,label\none,x\n".encode("utf-32-be"), "looks as if it was in UTF-32, without"),
        ("text,label\none,x\n".encode("utf-32-le"), "looks as if it was in UTF-32, without"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is an old spreadsheet workbook"),
    ],
)
def test_files_of_another_kind(put: Put, content: bytes, match: str) -> None:
    _refuses(put("a.csv", content), match)


@pytest.mark.parametrize("content", [b"", b"text,label\none,x\n", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_not_a_parquet_file(put: Put, content: bytes) -> None:
    needed("pyarrow")
    _refuses(put("a.parquet", content), "not a Parquet file, or a broken one .*write or fetch it again")


def test_a_damaged_parquet_file(put: Put) -> None:
    needed("pyarrow")
    path = put("a.parquet", [{"text": f"document {n}", "label": "x"} for n in range(2000)])
    data = path.read_bytes()
    _refuses(put("half.parquet", data[: len(data) // 2]), "not a Parquet file, or a broken one")
    _refuses(put("torn.parquet", data[:40] + bytes(400) + data[440:]), "not a Parquet file, or a broken one")


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_a_wrong_column_name_is_told_with_those_that_exist(put: Put, kind: str) -> None:
    path = put(f"a.{kind}", [{"body": "one", "category": "x"}])
    _refuses(path, "has no column 'text'; its columns are 'body', 'category'; name the text column with --text-column")
    _refuses(path, "has no column 'label'; its columns.*--label-column", text_column="body")


@pytest.mark.parametrize(
    ("name", "header", "option"),
    [
        ("a.csv", "text;label", "';'"),
        ("a.csv", "text|label", "'|'"),
        ("a.csv", "text\tlabel", "tab"),
        ("a.tsv", "text,label", "','"),
        ("a.tsv.gz", "id; text ;label", "';'"),
        ("a.csv", '"text";"label"', "';'"),
        ("a.csv", "text;label;a,b", "';'"),
        ("a.csv", "body;topic", "';'"),
    ],
)
def test_a_header_with_another_delimiter_names_it(put: Put, name: str, header: str, option: str) -> None:
    data = f"{header}\none\n".encode()
    path = put(name, gzip.compress(data) if name.endswith("gz") else data)
    _refuses(path, rf"header looks divided by .*: give --delimiter {re.escape(option)} ")


def test_a_note_for_excel(put: Put) -> None:
    _refuses(put("a.csv", "sep=;\ntext;label\none;x\n"), "a note for Excel: remove it and give --delimiter ';'")
    _refuses(put("a.csv", "sep=,\ntext,label\none,x\n"), r"a note for Excel: remove it$")


def test_a_header_that_is_a_document(put: Put) -> None:
    _refuses(put("a.csv", "a good film,film\na court,law\n"), "if the first line is a document, put a line above it")


def test_space_around_the_names_of_columns(put: Put) -> None:
    for name in ("a.csv", "a.tsv"):
        path = put(name, " text , label\none,x\n".replace(",", "\t" if name == "a.tsv" else ","))
        assert [(d.text, d.label) for d in read_documents(path)] == [("one", "x")]
    path = put("a.parquet", [{"text ": "one", "\ufefflabel": "x"}])
    assert [(d.text, d.label) for d in read_documents(path)] == [("one", "x")]
    _refuses(put("b.csv", "text, text,label\none,two,x\n"), "2 columns are called 'text'")


def test_two_columns_of_one_name(put: Put) -> None:
    _refuses(
        put("a.csv", "text,label,text\none,x,two\n"), "2 columns are called 'text'; rename all but the text column"
    )
    path = put("b.csv", "text,label,note,note\none,x,,\n")
    assert [document.text for document in read_documents(path)] == ["one"]


def test_a_broken_header(put: Put) -> None:
    _refuses(put("a.csv", 'text,"label\none,x\n'), "line 1: the header cannot be read")


@pytest.mark.parametrize(("column", "values"), [("text", [1, 2]), ("text", [["a"], ["b"]]), ("text", [None, None])])
def test_parquet_columns_of_another_type(put: Put, column: str, values: list[object]) -> None:
    needed("pyarrow")
    path = put("a.parquet", [{"text": value, "label": "x"} for value in values])
    _refuses(path, f"the {column} column '{column}' is of type .*strings are wanted")


@pytest.mark.parametrize("values", [[date(2020, 1, 1), None], [{"x": 1}, {"x": 2}], [["x"], ["y"]]])
def test_parquet_labels_of_another_type(put: Put, values: list[object]) -> None:
    needed("pyarrow")
    path = put("a.parquet", [{"text": "one", "label": value} for value in values])
    _refuses(path, "the label column 'label' is of type .*strings, numbers or booleans are wanted")


def test_plain_text_has_no_labels(put: Put) -> None:
    _refuses(put("a.txt", "one\n"), "plain text holds no labels")


@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv"])
def test_a_line_without_end(put: Put, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(sources, "MAX_RECORD_CHARS", 1000)
    path = put(f"a.{kind}", "text,label\n" + "x" * 5000)
    with pytest.raises(DataError, match=r"line 2 is longer than 1000 characters: 'xxx.*check that this is a text file"):
        list(read_documents(path, label_column=None, policy="skip"))


def test_a_link_to_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.symlink_to("gone.csv")
    _refuses(path, r"a link to gone\.csv, which is not there")
    with pytest.raises(DataError, match="a link to gone"):
        load_splits(path)
    path.unlink()
    path.symlink_to("a.csv")
    _refuses(path, r"a link to a\.csv")


@pytest.mark.parametrize("read", [read_documents, load_splits, resolve_split_file])
@pytest.mark.parametrize("path", ["a\0b.csv", "x" * 300 + ".csv", "a.csv/b.csv"])
def test_paths_that_no_file_can_have(put: Put, monkeypatch: pytest.MonkeyPatch, read: Read, path: str) -> None:
    monkeypatch.chdir(put("a.csv", "text,label\none,x\n").parent)
    with pytest.raises(DataError, match=r"no such file|no path can be so") as caught:
        list(read_documents(resolve_split_file(path)) if read is resolve_split_file else read(path))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("read", [read_documents, load_splits, resolve_split_file])
def test_a_folder_that_may_not_be_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Read) -> None:
    def stat(path: object, **_: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(sources.os, "stat", stat)
    with pytest.raises(DataError, match=r"a\.csv: cannot be looked at \(Permission denied\); check the permissions"):
        read(tmp_path / "a.csv")


def test_a_folder_that_may_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def listdir(path: object) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", listdir)
    for read in (load_splits, resolve_split_file):
        with pytest.raises(DataError, match=r"cannot be listed .Permission denied.; check its permissions"):
            read(tmp_path)


def test_a_parquet_file_that_may_not_be_read(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    pq = needed("pyarrow.parquet")

    def refuse(path: object, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    path = put("a.parquet", [{"text": "one", "label": "x"}])
    monkeypatch.setattr(pq, "ParquetFile", refuse)
    _refuses(path, "cannot be read .Permission denied.; check the file")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(put: Put) -> None:
    path = put("a.jsonl", JSON_LINE)
    path.chmod(0)
    _refuses(path, "cannot be read .Permission denied")


def test_an_error_of_the_disk(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    class Disk(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(gzip, "open", lambda path, mode: gzip.GzipFile(fileobj=Disk()))
    _refuses(put("a.jsonl.gz", b""), "cannot be read .Input/output error")


def test_json_with_a_byte_order_mark_and_windows_lines(put: Put) -> None:
    line = json.dumps({"text": "größe", "label": "x"}, ensure_ascii=False)
    path = put("a.jsonl", b"\xef\xbb\xbf" + f"{line}\r\n{line}\r\n".encode())
    assert [document.text for document in read_documents(path)] == ["größe", "größe"]
