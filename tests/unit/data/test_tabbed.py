"""TSV: a line is a record; what pandas and csv write on one line reads back; a quote is otherwise a character."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.packages import needed
from tokensieve.data import Tally, read_documents
from tokensieve.data.tabbed import read_tabbed, split_line
from tokensieve.errors import DataError

Put = Callable[..., Path]
FIELD = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), st.sampled_from('"\t,')), max_size=12
)
ROWS = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(FIELD, min_size=width, max_size=width), max_size=5))
LITERAL = FIELD.map(lambda text: text.replace("\t", " "))


def _records(text: str) -> list[list[str]]:
    return [record[2] for record in read_tabbed(io.StringIO(text, newline="")) if isinstance(record, tuple)]


@given(rows=ROWS, quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
def test_what_csv_writes_on_a_line_reads_back(rows: list[list[str]], quoting: int) -> None:
    out = io.StringIO(newline="")
    header = [f"column {n}" for n in range(len(rows[0]) if rows else 1)]
    csv.writer(out, delimiter="\t", quoting=quoting).writerows([header, *rows])  # type: ignore[arg-type]
    assert _records(out.getvalue()) == [header, *rows]


@given(rows=ROWS)
def test_what_pandas_writes_on_a_line_reads_back(rows: list[list[str]]) -> None:
    pd = needed("pandas")
    header = [f"column {n}" for n in range(len(rows[0]) if rows else 1)]
    out = io.StringIO(newline="")
    pd.DataFrame(rows, columns=header).to_csv(out, sep="\t", index=False)
    assert _records(out.getvalue()) == [header, *rows]


@given(texts=st.lists(LITERAL.filter(lambda text: text.strip()), min_size=1, max_size=8))
def test_unquoted_lines_are_taken_as_they_stand(texts: list[str]) -> None:
    """Written by joining with tabs: nothing is lost or joined, whatever quotes the texts begin or end with."""
    lines = ["text\tlabel", *(f"{text}\tx" for text in texts)]
    bare = [text[1:-1].replace('""', '"') if split_line(text) != [text] else text for text in texts]
    assert _records("\n".join(lines)) == [["text", "label"], *([text, "x"] for text in bare)]


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ('"begins with a quote\talpha', ['"begins with a quote', "alpha"]),
        ('ends with one"\talpha', ['ends with one"', "alpha"]),
        ('"quoted"\talpha', ["quoted", "alpha"]),
        ('"say ""hi"""\talpha', ['say "hi"', "alpha"]),
        ('"say "hi""\talpha', ['"say "hi""', "alpha"]),
        ('"a\ttab"\talpha', ["a\ttab", "alpha"]),
        ('"Hello" she said\talpha', ['"Hello" she said', "alpha"]),
        ('5" disk\talpha', ['5" disk', "alpha"]),
        ('"starts here\tends there"', ['"starts here', 'ends there"']),
        ('""\talpha', ["", "alpha"]),
        ('"\talpha', ['"', "alpha"]),
        ('"""\talpha', ['"""', "alpha"]),
        ("\t", ["", ""]),
    ],
)
def test_lines(line: str, fields: list[str]) -> None:
    assert split_line(line, 2) == fields
    assert _records(f"text\tlabel\n{line}\r\ngood\tbeta\n") == [["text", "label"], fields, ["good", "beta"]]


def test_no_row_is_lost_between_two_quotes(put: Put) -> None:
    """20 rows, one of which begins with a quote, and a later one ends with a quote."""
    rows = [f"text {n}\t{'xy'[n % 2]}" for n in range(20)]
    rows[3], rows[12] = '"begins with a quote\talpha', 'this is the "end"\tbeta'
    tally = Tally()
    documents = list(read_documents(put("a.tsv", "\n".join(["text\tlabel", *rows])), tally=tally))
    assert (tally.used, tally.rejected) == (20, 0)
    assert (documents[3].text, documents[3].label) == ('"begins with a quote', "alpha")
    assert documents[12].text == 'this is the "end"'


@pytest.mark.parametrize("text_first", [True, False])
@pytest.mark.parametrize("text", ["one\ntwo", "one\ntwo\nthree", "one\n\nthree", 'one "x"\ntwo', "one\r\ntwo", "one\n"])
def test_a_record_over_several_lines_is_reported(put: Put, text: str, text_first: bool) -> None:
    """As pandas writes a newline; no part of it becomes a document."""
    pd = needed("pandas")
    columns = {"text": ["good", text, "fine", text, "last"], "label": ["x", "y", "x", "y", "x"]}
    frame = pd.DataFrame(columns if text_first else dict(reversed(columns.items())))
    path = put("a.tsv", frame.to_csv(sep="\t", index=False))
    with pytest.raises(
        DataError, match=r"line 3: broken quotes: .*a record of TSV is one line; write .* CSV, JSONL or P"
    ):
        list(read_documents(path))
    tally = Tally()
    assert [d.text for d in read_documents(path, policy="skip", tally=tally)] == ["good", "fine", "last"]
    assert tally.rejected >= 2


def test_a_stray_quote_costs_no_other_line(put: Put) -> None:
    lines = ["text\tlabel", '"one\tx\ty', *["good\tx"] * 1000, 'a 5" disk\ty']
    tally = Tally()
    documents = list(read_documents(put("a.tsv", "\n".join(lines)), policy="skip", tally=tally))
    assert (len(documents), tally.rejected) == (1001, 1)


def test_a_long_line_of_quotes(put: Put) -> None:
    line = '"' * 200_001 + "a\tx"
    (document,) = read_documents(put("a.tsv", f"text\tlabel\n{line}\n"))
    assert len(document.text) == 200_002
