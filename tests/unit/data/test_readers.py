"""Every format gives back what was written into it; rows are streamed; standard input is a file like any other."""

import csv
import gzip
import io
import json
import re
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.data_files import LABELLED_KINDS, encode_rows, write_rows
from support.packages import needed
from tokensieve.data import Document, Tally, read_documents
from tokensieve.data.labels import is_written_list
from tokensieve.errors import ConfigError, DataError, MissingExtraError

# Any text that UTF-8 can hold, commas, quotes, tabs and newlines more often than chance would have it.
UNICODE = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), st.sampled_from('",\t\n\r'))
)
LABEL = UNICODE.filter(lambda text: text.strip() and not is_written_list(" ".join(text.split())))


def _has_words(text: str) -> bool:
    return any(character.isalnum() for character in text) and sum(character < " " for character in text) * 20 < len(
        text
    )


TEXT = st.builds("".join, st.tuples(UNICODE, st.just("word " * 10), UNICODE)).filter(_has_words)
ROWS = st.lists(st.fixed_dictionaries({"id": st.integers(0, 9), "text": TEXT, "label": LABEL}), min_size=1, max_size=6)


def _set_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize("kind", LABELLED_KINDS)
@given(rows=ROWS)
def test_any_text_survives_any_format(kind: str, rows: list[dict[str, Any]]) -> None:
    if kind.startswith("tsv"):  # whose records are one line
        rows = [{name: re.sub(r"[\r\n]", " ", str(value)) for name, value in row.items()} for row in rows]
    with TemporaryDirectory() as folder:
        path = write_rows(Path(folder, f"a.{kind}"), rows)
        tally = Tally()
        documents = list(read_documents(path, tally=tally))
    expected = [(row["text"], row["label"].strip()) for row in rows]
    assert [(document.text, document.label) for document in documents] == expected
    assert (tally.read, tally.used, tally.rejected) == (len(rows), len(rows), 0)


@given(rows=ROWS, newline=st.sampled_from(["\n", "\r\n"]), mark=st.booleans(), blank=st.booleans())
def test_lines_are_those_of_an_editor(rows: list[dict[str, Any]], newline: str, mark: bool, blank: bool) -> None:
    """The line is where the record begins, with any line ends, byte order mark, blank lines, newlines in quotes."""
    lines, where = ["text,label"], []
    for row in rows:
        lines += [""] * blank
        where.append(len(lines) + 1)
        quoted = ",".join('"' + row[name].replace("\r", " ").replace('"', '""') + '"' for name in ("text", "label"))
        lines += quoted.split("\n")
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        path.write_bytes(b"\xef\xbb\xbf" * mark + newline.join(lines).encode())
        assert [document.line for document in read_documents(path)] == where


@pytest.mark.parametrize("kind", LABELLED_KINDS)
def test_documents_name_their_file_and_line(tmp_path: Path, kind: str) -> None:
    path = write_rows(tmp_path / f"a.{kind}", [{"text": "one", "label": "x"}, {"text": "two", "label": "y"}])
    first = 2 if kind[:3] in ("csv", "tsv") else 1
    assert list(read_documents(path)) == [
        Document("one", "x", str(path), first),
        Document("two", "y", str(path), first + 1),
    ]


@pytest.mark.parametrize("kind", LABELLED_KINDS)
def test_columns_by_name_and_whole_numbers_as_labels(tmp_path: Path, kind: str) -> None:
    path = write_rows(
        tmp_path / f"a.{kind}", [{"no": 7, "stars": 5, "body": "good"}, {"no": 8, "stars": -1, "body": "bad"}]
    )
    documents = list(read_documents(path, text_column="body", label_column="stars"))
    assert [(document.text, document.label) for document in documents] == [("good", "5"), ("bad", "-1")]


@pytest.mark.parametrize("kind", LABELLED_KINDS)
def test_without_label_column_labels_are_not_looked_at(tmp_path: Path, kind: str) -> None:
    path = write_rows(tmp_path / f"a.{kind}", [{"text": "one", "label": ""}])
    assert [document.label for document in read_documents(path, label_column=None)] == [None]


def test_plain_text_is_a_document_a_line(put: Callable[..., Path]) -> None:
    path = put("a.txt", 'one, "two"\r\nthree\u2028four\x0cfive\nsix')
    documents = list(read_documents(path, label_column=None))
    assert [(d.text, d.line, d.label) for d in documents] == [
        ('one, "two"', 1, None),
        ("three\u2028four\x0cfive", 2, None),
        ("six", 3, None),
    ]


def test_blank_lines_of_jsonl_are_no_records(put: Callable[..., Path]) -> None:
    path = put("a.jsonl", '\n{"text": "one", "label": "x"}\n  \r\n\n{"text": "two", "label": "y"}\n\n')
    tally = Tally()
    assert [document.line for document in read_documents(path, tally=tally)] == [2, 5]
    assert tally.read == 2


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_standard_input_with_a_format(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    _set_stdin(monkeypatch, encode_rows(kind, [{"text": "größe", "label": "x"}]))
    documents = list(read_documents("-", format=kind))
    assert [(d.text, d.label, d.source) for d in documents] == [("größe", "x", "<stdin>")]
    assert not sys.stdin.closed


def test_standard_input_is_jsonl_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    _set_stdin(monkeypatch, b'{"text": "one"}\n')
    assert [document.text for document in read_documents("-", label_column=None)] == ["one"]


def test_parquet_from_standard_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="Parquet cannot be read from standard input"):
        read_documents("-", format="parquet")


def test_no_standard_input_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match="no standard input"):
        next(read_documents("-"))


def test_format_overrides_the_name(put: Callable[..., Path]) -> None:
    path = put("export.dat", "text;x\tlabel\none\tx\n")
    documents = list(read_documents(path, format="tsv", text_column="text;x"))
    assert [(document.text, document.label) for document in documents] == [("one", "x")]


def test_unknown_settings_are_refused_before_anything_is_read(put: Callable[..., Path]) -> None:
    path = put("a.csv", "text,label\none,x\n")
    with pytest.raises(ConfigError, match=r"unknown policy 'ignore'.*'error' or 'skip'"):
        read_documents(path, policy="ignore")  # type: ignore[arg-type]
    for names in ({"label_column": "text"}, {"pair_column": "text"}):
        with pytest.raises(ConfigError, match=r"_column='text' is the text column: name the (label|pair) column"):
            read_documents(path, **names)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"unknown data format 'xlsx'.*csv, tsv, jsonl, json, parquet, txt"):
        read_documents(path, format="xlsx")


def test_a_huge_field_is_read_and_the_csv_limit_of_the_process_stays(put: Callable[..., Path]) -> None:
    before = csv.field_size_limit(5000)
    path = put("a.csv", f'text,label\n"{"word " * 100_000}\n{"word " * 100_000}",x\nshort,y\n')
    try:
        reading = read_documents(path)
        assert len(next(reading).text) == 1_000_001
        assert csv.field_size_limit() == 5000
        assert [document.line for document in reading] == [4]
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "jsonl.gz", "txt"])
def test_text_is_streamed_in_bounded_memory(tmp_path: Path, kind: str) -> None:
    """12 MB of file, at most 3 MB of memory."""
    path = tmp_path / f"a.{kind}"
    opener = gzip.open if kind.endswith(".gz") else open
    with opener(path, "wt", encoding="utf-8") as stream:
        if kind == "csv":
            stream.write("text,label\n")
        line = json.dumps({"text": "word " * 200, "label": "x"}) if kind.startswith("jsonl") else "word " * 200 + ",x"
        stream.writelines(f"{line}\n" for _ in range(12_000))
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_documents(path, label_column=None if kind == "txt" else "label"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 12_000
    assert peak < 3_000_000


def test_parquet_is_streamed_in_bounded_memory(tmp_path: Path) -> None:
    """One row group of 20 MB; Arrow never holds a third of it."""
    pa = needed("pyarrow")
    import pyarrow.parquet as pq

    texts = [f"{index} " + "word " * 200 for index in range(20_000)]
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"text": texts, "label": ["x"] * len(texts), "unread": texts}),
        path,
        compression="none",
        use_dictionary=False,
        row_group_size=len(texts),
    )
    before = pa.total_allocated_bytes()
    peak = 0
    for index, document in enumerate(read_documents(path)):
        assert document.line == index + 1
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert index == len(texts) - 1
    assert peak < 7_000_000


@pytest.mark.parametrize("large", [False, True])
def test_parquet_types_that_hold_text(tmp_path: Path, large: bool) -> None:
    pa = needed("pyarrow")
    import pyarrow.parquet as pq

    texts = pa.array(["one", "zwölf"], pa.large_string() if large else pa.string())
    columns = {
        "text": texts,
        "bytes": texts.cast(pa.large_binary() if large else pa.binary()),
        "coded": texts.dictionary_encode(),
        "view": texts.cast(pa.string_view()),
        "label": pa.array([0, 300], pa.int64() if large else pa.uint16()),
        "coded_label": pa.array(["x", "y"]).dictionary_encode(),
    }
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path)
    for text_column in ("text", "bytes", "coded", "view"):
        for label_column, labels in (("label", ["0", "300"]), ("coded_label", ["x", "y"])):
            documents = list(read_documents(path, text_column=text_column, label_column=label_column))
            assert [document.text for document in documents] == ["one", "zwölf"]
            assert [document.label for document in documents] == labels


def test_parquet_without_pyarrow_names_the_extra(monkeypatch: pytest.MonkeyPatch, put: Callable[..., Path]) -> None:
    path = put("a.parquet", b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tokensieve\[parquet\]'"):
        read_documents(path)


def test_a_reading_given_up_leaves_no_file_open(put: Callable[..., Path]) -> None:
    path = put("a.jsonl", '{"text": "one", "label": "x"}\n' * 10)
    psutil = needed("psutil")
    reading = read_documents(path)
    next(reading)
    opened = [file.path for file in psutil.Process().open_files()]
    assert str(path) in opened
    reading.close()  # type: ignore[attr-defined]
    assert str(path) not in [file.path for file in psutil.Process().open_files()]


def test_real_documents(shared_data: Path) -> None:
    tally = Tally()
    for split, count in (("train", 1550), ("validation", 225), ("test", 450)):
        documents = list(read_documents(shared_data / "bbc" / f"{split}.jsonl.gz", tally=tally))
        assert len(documents) == count
        assert len({document.label for document in documents}) == 5
    assert (tally.read, tally.rejected) == (2225, 0)
