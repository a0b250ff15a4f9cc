"""JSON files: arrays of objects as a stream, an object a line, and one error for anything else."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.packages import needed
from tokensieve.data import Document, Tally, json_files, load_splits, read_documents
from tokensieve.errors import DataError

Put = Callable[..., Path]
ROWS = [{"text": "one", "label": "x"}, {"text": "two", "label": "y"}, {"text": "three", "label": "x"}]
JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.sampled_from(['"', "\\", "]", "},{"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)


def _texts(path: Path, **settings: Any) -> list[str]:
    return [document.text for document in read_documents(path, **settings)]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_an_array_of_objects(put: Put, name: str, indent: int | None) -> None:
    import gzip

    data = json.dumps(ROWS, indent=indent).encode()
    path = put(name, gzip.compress(data) if name.endswith(".gz") else data)
    assert list(read_documents(path)) == [Document(r["text"], r["label"], str(path), n + 1) for n, r in enumerate(ROWS)]


@pytest.mark.parametrize("blank", [0, 3])
def test_an_object_a_line(put: Put, blank: int) -> None:
    """The same as the same lines in a .jsonl file, line numbers included."""
    lines = "\n" * blank + "".join(json.dumps(row) + "\n" for row in ROWS)
    for name in ("a.json", "a.jsonl"):
        found = list(read_documents(put(name, lines)))
        assert [(d.text, d.line) for d in found] == [(row["text"], blank + n + 1) for n, row in enumerate(ROWS)]
    assert _texts(put("b.json", json.dumps(ROWS[0]))) == ["one"], "a single line is a line"


def test_a_bad_line_of_objects(put: Put) -> None:
    lines = [json.dumps(ROWS[0]), '{"text": "bro', json.dumps(ROWS[1])]
    for order in ([0, 1, 2], [1, 0, 2]):
        path = put("a.json", "\n".join(lines[n] for n in order))
        with pytest.raises(DataError, match=rf"line {order.index(1) + 1}: invalid JSON"):
            _texts(path)
        assert _texts(path, policy="skip") == ["one", "two"]


@given(
    extras=st.lists(JSON_VALUES, min_size=1, max_size=6),
    chunk=st.integers(1, 20),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
)
def test_any_values_beside_the_text(extras: list[Any], chunk: int, indent: int | None, ascii_only: bool) -> None:
    """However the array is cut into pieces for reading."""
    rows = [{"extra": extra, "text": f"word {extra!r}", "label": str(n)} for n, extra in enumerate(extras)]
    try:
        data = json.dumps(rows, indent=indent, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_files, "_CHUNK", chunk)
        path = Path(folder, "a.json")
        path.write_bytes(data)
        found = list(read_documents(path))
    assert [(d.text, d.label, d.line) for d in found] == [(r["text"], r["label"], n + 1) for n, r in enumerate(rows)]


@given(data=st.text(st.sampled_from('[]{}",:\\ \n1a'), max_size=60), start=st.sampled_from(["", "[{", '{"text": ']))
def test_anything_ends_in_documents_or_one_error(data: str, start: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.json")
        path.write_text(start + data, encoding="utf-8")
        tally = Tally()
        try:
            used = len(list(read_documents(path, policy="skip", tally=tally)))
        except DataError as error:
            assert str(path) in str(error)
        else:
            assert tally.used == used


BROKEN = [
    ('[{"text": "one", "label": "x"}, {"text": "bro, "label": }, {"text": "two", "label": "y"}]', 2, "invalid JSON", 1),
    ('[{"text": "one", "label": "x"}, 5, {"text": "two", "label": "y"}]', 2, "JSON that is not an object: int 5", 2),
    ('[{"text": "one", "label": "x"}, {"label": "y"}, {"text": "two", "label": "y"}]', 2, "missing text: no field", 2),
    ('[{"text": "one", "label": "x"},, {"text": "two", "label": "y"}]', 2, "a comma without a record", 2),
    ('[{"text": "one", "label": "x"}, {"text": "two", "label": "y"},]', 3, "a comma without a record", 2),
    ('[{"text": "one", "label": "x"}, {"text": "two", "label": "y"}', 2, "the file ends before the array does", 1),
    ('[{"text": "one", "label": "x"}, {"text": "two", "label": "y"}] [', 3, "text after the end of the array", 2),
    (
        '[{"text": "one", "label": "x"}, {"text": "two", "text": "y", "label": 1}]',
        2,
        "'text' is there more than once",
        1,
    ),
]


@pytest.mark.parametrize(("content", "number", "reason", "used"), BROKEN)
def test_records_that_cannot_be_used(put: Put, content: str, number: int, reason: str, used: int) -> None:
    path = put("a.json", content)
    with pytest.raises(DataError, match=f"a.json, record {number}: .*{reason}"):
        _texts(path)
    tally = Tally()
    assert len(_texts(path, policy="skip", tally=tally)) == used
    assert tally.rejected == 1


OTHERS = [
    ('{"text": "one", "label": "x",\n "more": 1}\n', "a single JSON object over several lines"),
    ('{\n  "text": "one",\n  "label": "x"\n}\n', "a single JSON object over several lines"),
    (
        '{"text": {"0": "one", "1": "two"}, "label": {"0": "x", "1": "y"}}',
        "a single JSON object with the fields 'text'",
    ),
    ('{"text": ["one", "two"], "label": ["x", "y"]}', "a single JSON object with the fields 'text', 'label'"),
    ('{"columns": ["text", "label"], "data": [["one", "x"]]}', "a single JSON object with the fields 'columns', 'da"),
    ('{"data": [{"text": "one", "label": "x"}]}', "a single JSON object with the fields 'data'"),
    ('["one", "two"]', "a JSON array of values that are no objects"),
    ('[["one", "x"]]', "a JSON array of values that are no objects"),
    ("[1, 2]", "a JSON array of values that are no objects"),
    ('"one"', "no JSON objects: it begins with"),
    ("text,label\none,x\n", "no JSON objects: it begins with 'te'"),
]


@pytest.mark.parametrize(("content", "what"), OTHERS)
def test_json_of_another_shape(put: Put, content: str, what: str) -> None:
    path = put("a.json", content)
    for policy in ("error", "skip"):
        with pytest.raises(DataError, match=rf"a\.json holds {what}.*to_json\(path, orient='records', lines=True\)"):
            _texts(path, policy=policy)


@pytest.mark.parametrize("content", ["[]", " [ ]\n", ""])
def test_no_record_at_all(put: Put, content: str) -> None:
    with pytest.raises(DataError, match=r"holds no records|is empty"):
        _texts(put("a.json", content))


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_in_a_jsonl_file(put: Put, indent: int | None) -> None:
    path = put("a.jsonl", json.dumps(ROWS, indent=indent))
    for policy in ("error", "skip"):
        with pytest.raises(DataError, match=r"a JSON array, not one object a line: give it a name that ends in \.json"):
            _texts(path, policy=policy)
    assert _texts(path, format="json") == ["one", "two", "three"]


def test_what_pandas_writes(tmp_path: Path) -> None:
    pd = needed("pandas")
    frame, path = pd.DataFrame(ROWS), tmp_path / "a.json"
    for options in ({"orient": "records"}, {"orient": "records", "lines": True}, {"orient": "records", "indent": 2}):
        frame.to_json(path, **options)
        assert _texts(path) == ["one", "two", "three"]
    for orient in ("columns", "index", "split", "values", "table"):
        frame.to_json(path, orient=orient)
        with pytest.raises(DataError, match="orient='records'"):
            _texts(path)


def test_a_folder_of_json_files(put: Put, tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        put(f"{split}.json", json.dumps(ROWS))
    splits = load_splits(tmp_path)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (3, 3, 3)


def test_an_array_is_streamed_in_bounded_memory(tmp_path: Path) -> None:
    """12 MB on one line, at most 3 MB of memory."""
    path = tmp_path / "a.json"
    with open(path, "w", encoding="utf-8") as out:
        out.write("[")
        for number in range(12_000):
            out.write(", " * (number > 0) + json.dumps({"text": "word " * 200, "label": "x"}))
        out.write("]")
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_documents(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 12_000
    assert peak < 3_000_000


def test_a_bracket_that_is_never_closed(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_files, "MAX_RECORD_CHARS", 1000)
    path = put("a.json", '[{"text": "one", "label": "x"}, {"text": {"a": ' + '[{"b": 1},' * 20_000)
    with pytest.raises(DataError, match=r"record 2 is longer than 1000 characters: .*each bracket and quote is closed"):
        _texts(path, policy="skip")


def test_fields_with_space_around_their_names(put: Put) -> None:
    assert _texts(put("a.jsonl", '{" text ": "one", "label\\t": "x"}')) == ["one"]
