"""The tally: every record is in it once, and its memory does not grow."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tokensieve.data.documents import MAX_EXAMPLES, Rejection, Tally


def _rejection(line: int, reason: str = "empty text") -> Rejection:
    return Rejection("a.csv", line, reason, "''")


@given(st.lists(st.sampled_from(["used", "empty text", "invalid JSON"])))
def test_read_is_used_plus_rejected(fates: list[str]) -> None:
    tally = Tally()
    for line, fate in enumerate(fates, start=1):
        if fate == "used":
            tally.accept()
        else:
            tally.reject(_rejection(line, fate))
    assert tally.read == len(fates)
    assert tally.used == fates.count("used")
    assert tally.rejected == len(fates) - fates.count("used")
    assert tally.reasons["invalid JSON"] == fates.count("invalid JSON")


def test_examples_are_bounded_and_the_first_ones() -> None:
    tally = Tally()
    for line in range(1, 1001):
        tally.reject(_rejection(line))
    assert [example.line for example in tally.examples] == list(range(1, MAX_EXAMPLES + 1))
    assert tally.rejected == 1000


def test_adding_tallies_adds_counts_and_keeps_the_bound() -> None:
    first, second = Tally(), Tally()
    first.accept()
    for line in range(1, 16):
        first.reject(_rejection(line))
        second.reject(_rejection(line, "invalid JSON"))
    first.add(second)
    assert (first.read, first.used, first.rejected) == (31, 1, 30)
    assert first.reasons == {"empty text": 15, "invalid JSON": 15}
    assert len(first.examples) == MAX_EXAMPLES
    assert second.read == 15


def test_summary_names_counts_reasons_and_places() -> None:
    tally = Tally()
    tally.accept()
    for line in range(7, 20):
        tally.reject(_rejection(line))
    tally.reject(_rejection(20, "invalid JSON"))
    lines = tally.summary(examples=2)
    assert lines[0] == "15 records read, 1 used, 14 rejected"
    assert lines[1:3] == ["  13 x empty text", "  1 x invalid JSON"]
    assert lines[3:] == ["  e.g. a.csv, line 7: empty text: ''", "  e.g. a.csv, line 8: empty text: ''"]


def test_to_dict_is_json_and_complete() -> None:
    tally = Tally()
    tally.accept()
    tally.reject(Rejection("a.parquet", 3, "missing text", "the value is null", unit="row"))
    record = json.loads(json.dumps(tally.to_dict()))
    assert (record["read"], record["used"], record["rejected"]) == (2, 1, 1)
    assert record["reasons"] == {"missing text": 1}
    assert record["examples"] == [
        {"source": "a.parquet", "row": 3, "reason": "missing text", "detail": "the value is null"}
    ]
