"""Records that cannot be used: found, named with file, line, value and remedy, or counted; the others still read."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.packages import needed
from tokensieve.data import Tally, read_documents
from tokensieve.data.rows import list_names, shorten
from tokensieve.errors import DataError

Put = Callable[..., Path]

BAD_JSON_LINES = {
    "empty text": [b'{"text": "", "label": "x"}', b'{"text": " \\t\\n\\u00a0", "label": "x"}'],
    "missing text": [b'{"text": null, "label": "x"}', b'{"body": "one", "label": "x"}', b"{}"],
    "text of the wrong type": [
        b'{"text": 5, "label": "x"}',
        b'{"text": 5.5, "label": "x"}',
        b'{"text": true, "label": "x"}',
        b'{"text": ["one"], "label": "x"}',
        b'{"text": {"en": "one"}, "label": "x"}',
        b'{"text": NaN, "label": "x"}',
    ],
    "binary data in place of text": [
        b'{"text": "one word and \\u0000 more of them", "label": "x"}',
        b'{"text": "\\u0001\\u0002ab", "label": "x"}',
    ],
    "not valid UTF-8": [
        b'{"text": "caf\xe9", "label": "x"}',
        b'{"text": "one \\ud83d two", "label": "x"}',
        b'{"text": "one", "label": "caf\xe9"}',
    ],
    "invalid JSON": [
        b'{"text": "one", "label": "x"',
        b"one,x",
        b'{"text": "one\x01", "label": "x"}',
        b'{"text": "one", "label": ' + b"9" * 5000 + b"}",
        b"[" * 200_000,
    ],
    "JSON that is not an object": [b'["one", "x"]', b'"one"', b"5", b"null"],
    "missing label": [b'{"text": "one"}', b'{"text": "one", "label": null}', b'{"text": "one", "label": "  "}'],
    "label of the wrong type": [
        b'{"text": "one", "label": 1.5}',
        b'{"text": "one", "label": {"x": 1}}',
        b'{"text": "one", "label": ["x", "y"]}',
    ],
    "unknown label": [b'{"text": "one", "label": "z"}', b'{"text": "one", "label": 3}'],
}
BAD_JSON = [(reason, line) for reason, lines in BAD_JSON_LINES.items() for line in lines]
BAD_CSV = [
    ("empty text", b",x"),
    ("empty text", b'"  \n ",x'),
    ("binary data in place of text", b"one word and \0 more of them,x"),
    ("not valid UTF-8", b"caf\xe9,x"),
    ("not valid UTF-8", b"caf\xc3,x"),
    ("wrong number of fields", b"one"),
    ("wrong number of fields", b"one, two,x"),
    ("wrong number of fields", b'"one",x,'),
    ("broken quotes", b'"so "good" it hurts",x'),
    ("broken quotes", b'"never closed,x'),
    ("missing label", b"one,"),
    ("missing label", b"one,  "),
    ("unknown label", b"one,z"),
]
GOOD_JSON = b'{"text": "good", "label": "x"}'


@pytest.mark.parametrize(("reason", "line"), BAD_JSON)
def test_bad_jsonl_records(put: Put, reason: str, line: bytes) -> None:
    path = put("a.jsonl", b"\n".join([GOOD_JSON, line, GOOD_JSON, b""]))
    _check(path, reason, line=2, good=[1, 3])


BAD_DELIMITED = [("csv", b",", *bad) for bad in BAD_CSV] + [
    ("tsv", b"\t", *bad) for bad in BAD_CSV if b'"' not in bad[1]
]


@pytest.mark.parametrize(("kind", "delimiter", "reason", "line"), BAD_DELIMITED)
def test_bad_csv_records(put: Put, reason: str, line: bytes, kind: str, delimiter: bytes) -> None:
    rows = [b"text,label", b"good,x", line, b"good,y", b""]
    path = put(f"a.{kind}", b"\r\n".join(rows).replace(b",", delimiter))
    _check(path, reason, line=3, good=[2, 4 + line.count(b"\n")])


def _check(path: Path, reason: str, line: int, good: list[int]) -> None:
    """The row stops reading under `error`, and is counted, with all others read, under `skip`."""
    with pytest.raises(DataError) as caught:
        list(read_documents(path, known_labels=["x", "y"]))
    message = str(caught.value)
    assert message.startswith(f"{path}, line {line}: {reason}: ")
    assert "--on-bad-rows skip" in message
    assert len(message) < 400 and message.isprintable()
    tally = Tally()
    documents = list(read_documents(path, known_labels=["x", "y"], policy="skip", tally=tally))
    assert [document.line for document in documents] == good
    assert (tally.read, tally.used, tally.reasons) == (len(good) + 1, len(good), {reason: 1})
    assert (tally.examples[0].source, tally.examples[0].line) == (str(path), line)


def test_the_value_is_in_the_message(put: Put) -> None:
    path = put("a.csv", "text,label\none,sprots\n")
    with pytest.raises(DataError, match="unknown label: 'sprots'; the known labels are 'politics', 'sports'"):
        list(read_documents(path, known_labels={"sports", "politics"}))


def test_a_missing_field_is_told_with_those_that_exist(put: Put) -> None:
    path = put("a.jsonl", '{"body": "one", "category": "x"}\n')
    with pytest.raises(DataError, match="missing text: no field 'text'; the fields are 'body', 'category'"):
        list(read_documents(path))
    with pytest.raises(DataError, match="missing label: no field 'label'; the fields are 'body', 'category'"):
        list(read_documents(path, text_column="body"))


def test_bad_parquet_rows(tmp_path: Path) -> None:
    pa = needed("pyarrow")
    import pyarrow.parquet as pq

    texts = pa.array([b"one", None, b"  ", b"caf\xe9", b"a\0b", b"two", b"three", b"four"], pa.binary())
    labels = pa.array(["x", "x", "x", "x", "x", None, "z", "y"])
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": texts, "label": labels}), path)
    tally = Tally()
    documents = list(read_documents(path, policy="skip", tally=tally, known_labels=["x", "y"]))
    assert [(document.text, document.line) for document in documents] == [("one", 1), ("four", 8)]
    assert [(example.line, example.reason) for example in tally.examples] == [
        (2, "missing text"),
        (3, "empty text"),
        (4, "not valid UTF-8"),
        (5, "binary data in place of text"),
        (6, "missing label"),
        (7, "unknown label"),
    ]
    with pytest.raises(DataError, match=r"a.parquet, row 2: missing text"):
        list(read_documents(path))


def test_an_empty_line_of_plain_text_is_heard_of(put: Put) -> None:
    path = put("a.txt", "one\n\ntwo\n")
    with pytest.raises(DataError, match=r"a.txt, line 2: empty text"):
        list(read_documents(path, label_column=None))
    assert [d.line for d in read_documents(path, label_column=None, policy="skip")] == [1, 3]


def test_stray_control_characters_do_not_make_text_binary(put: Put) -> None:
    path = put("a.jsonl", json.dumps({"text": "see \x08\x1b[1m below\x0c" + " word" * 20, "label": "x"}))
    assert len(list(read_documents(path))) == 1


def test_bytes_that_are_not_utf8_in_a_column_nobody_reads(put: Put) -> None:
    path = put("a.csv", b"author,text,label\nJos\xe9,one,x\n")
    assert [document.text for document in read_documents(path)] == ["one"]


def test_a_quote_never_closed_costs_its_own_line_only(put: Put) -> None:
    lines = ["text,label", "one,x", '"two,x', *["three,y"] * 1000, '"multi\nline",x', '"last,x']
    path = put("a.csv", "\n".join(lines))
    tally = Tally()
    documents = list(read_documents(path, policy="skip", tally=tally))
    assert [document.line for document in documents] == [2, *range(4, 1004), 1004]
    assert documents[-1].text == "multi\nline"
    assert [example.line for example in tally.examples] == [3, 1006]
    assert tally.reasons == {"broken quotes": 2}


def test_a_record_over_several_lines_with_too_few_fields_names_them(put: Put) -> None:
    path = put("a.csv", 'text,label\n"one\ntwo\nthree"\nfour,x\n')
    with pytest.raises(DataError, match="line 2: wrong number of fields: 1 where the header has 2 in lines 2 to 4"):
        list(read_documents(path))
    assert [document.line for document in read_documents(path, policy="skip")] == [5]


def test_not_one_usable_record_is_an_error_under_skip_too(put: Put) -> None:
    path = put("a.jsonl", '{"txt": "one", "label": "x"}\n' * 5)
    tally = Tally()
    with pytest.raises(DataError, match=r"not one record can be used; the first one: .*line 1: missing text.*'txt'"):
        list(read_documents(path, policy="skip", tally=tally))
    assert (tally.read, tally.rejected) == (5, 5)


def test_errors_are_counted_before_they_are_raised(put: Put) -> None:
    path = put("a.csv", "text,label\none,x\n,x\ntwo,x\n")
    tally = Tally()
    with pytest.raises(DataError, match="line 3: empty text"):
        list(read_documents(path, tally=tally))
    assert (tally.read, tally.used, tally.rejected) == (2, 1, 1)


FATES = st.lists(st.one_of(st.just(None), st.sampled_from(BAD_JSON[:-12])), min_size=1, max_size=40)


@given(fates=FATES)
def test_counts_in_are_counts_out_and_rejected(fates: list[tuple[str, bytes] | None]) -> None:
    """Any mixture: each record is used or counted under its reason, in place."""
    lines = [GOOD_JSON, *(GOOD_JSON if fate is None else fate[1] for fate in fates)]
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.jsonl")
        path.write_bytes(b"\n".join(lines))
        tally = Tally()
        documents = list(read_documents(path, policy="skip", tally=tally, known_labels=["x"]))
    assert tally.read == len(lines) == len(documents) + tally.rejected
    assert [d.line for d in documents] == [1, *(n for n, fate in enumerate(fates, start=2) if fate is None)]
    assert sorted(tally.reasons.elements()) == sorted(fate[0] for fate in fates if fate is not None)


@given(data=st.binary(max_size=200), kind=st.sampled_from(["csv", "tsv", "jsonl", "txt", "csv.gz", "parquet"]))
def test_any_bytes_end_in_documents_or_in_one_clear_error(data: bytes, kind: str) -> None:
    """No other exception whatever the file holds, and no document that could not be written down again."""
    header = {"csv": b"text,label\n", "tsv": b"text\tlabel\n"}.get(kind, b"")
    with TemporaryDirectory() as folder:
        path = Path(folder, f"a.{kind}")
        path.write_bytes(header + data)
        tally = Tally()
        documents = []
        try:
            reading = read_documents(path, label_column=None if kind == "txt" else "label", policy="skip", tally=tally)
            documents += reading
        except DataError as error:
            assert str(path) in str(error)
    assert tally.used == len(documents)
    for document in documents:
        assert document.text.encode("utf-8").strip()


def test_shortened_values() -> None:
    assert shorten("short") == "'short'"
    assert shorten("a" * 10_000_000).startswith("'aaa") and len(shorten("a" * 10_000_000)) <= 60
    assert len(shorten(["a" * 1000, {"b": 5}])) <= 60
    assert list_names(["a", "b"]) == "'a', 'b'"
    assert list_names([str(n) for n in range(12)], limit=2) == "'0', '1' and 10 more"
    assert list_names([]) == "none"
