"""What can be used and may mean something else: one warning each, and none about good data."""

import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tokensieve.data import Document, load_splits
from tokensieve.data.doubts import doubts, similar_labels, unjudged_labels
from tokensieve.errors import DataError

Put = Callable[..., Path]


def _documents(labels: list[object], texts: list[str] | None = None) -> list[Document]:
    texts = texts or [f"document {n}" for n in range(len(labels))]
    return [Document(text, label, "a.csv", 1) for text, label in zip(texts, labels, strict=True)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "texts", "warning"),
    [
        ([str(n) for n in range(20)], None, "20 different labels for 20 documents: check the label column"),
        (
            [f"document {n}" for n in range(20)],
            ["x", "y"] * 10,
            "text and label columns look swapped: check the label col",
        ),
        (["nan", "x"] * 10, None, "read as labels, though they look like missing values: 'nan'"),
        (["100", "010", "001"] * 10, None, "labels look like rows of indicators, such as '001'"),
        (["0.5", "1", "2.25"] * 10, None, "labels look like measurements, such as 0.5"),
        (["Spam", "spam", "ham"] * 10, None, "look alike, each a class of its own: 'Spam', 'spam'"),
        (["caf\u00e9", "cafe\u0301"] * 10, None, "look alike"),
        (["a", "a\u200b"] * 10, None, "look alike"),
        (["a", "b", "a|b"] * 10, None, "'|' seems to divide several: 'a|b'; read them with --multi-label"),
        (
            [("a",), ("b",), ("b; a",)] * 10,
            None,
            "';' seems to divide several: 'b; a'; .*--set data.label_separator=';'",
        ),
        (
            ["a", "b"] * 10,
            ["one", "two", "one", "two", "two"] * 4,
            "2 of 2 different texts occur under more than one label",
        ),
        ([("a",), (), ("a", "b")], ["one", "one", "two"], "such as 'one' under 'no label', 'a'"),
        (["a", "b"] * 10, [str(n) for n in range(20)], "all texts are numbers, such as '0': check the text column"),
    ],
)
def test_doubts(labels: list[object], texts: list[str] | None, warning: str) -> None:
    found = list(doubts(_documents(labels, texts)))
    assert any(re.search(warning, doubt) for doubt in found), found


@pytest.mark.parametrize(
    "labels",
    [
        ["x", "y"] * 10,
        [str(n % 10) for n in range(40)],
        ["none", "None of these"] * 10,
        ["a", "b"],
        ["C", "C++"] * 10,
        ["1.0", "2.0"] * 10,
        [("a", "b"), ("a",), ()] * 5,
        ["law, sport", "film"] * 10,
    ],
)
def test_good_data(labels: list[object]) -> None:
    assert list(doubts(_documents(labels))) == []


def test_the_same_text_twice_under_one_label_is_no_doubt() -> None:
    assert list(doubts(_documents([("a", "b"), ("b", "a"), ("a",)], ["one", "one", "two"]))) == []


def test_many_labels_alike() -> None:
    (found,) = similar_labels([f"{letter}{space}" for letter in "abcdefg" for space in ("", " ")])
    assert "'a', 'a '" in found
    assert "2 more such groups" in found


def test_warnings_of_a_file(put: Put, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"text": f"text {n}", "label": ["Spam", "spam"][n % 2]} for n in range(20)]
    path = put("a.csv", rows)
    with caplog.at_level(logging.WARNING, logger="tokensieve"):
        load_splits(path)
    assert f"{path}: different labels that look alike" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="tokensieve"):
        load_splits(put("b.csv", [{"text": f"text {n}", "label": "xy"[n % 2]} for n in range(20)]))
    assert caplog.text == ""


def test_the_same_texts_under_two_labels_cannot_be_carved(put: Put) -> None:
    rows = [{"text": f"text {n}", "label": label} for n in range(8) for label in ("alpha", "beta")]
    with pytest.raises(DataError) as caught:
        load_splits(put("a.jsonl", rows))
    message = str(caught.value)
    assert "8 of 8 different texts occur under more than one label, such as 'text 0' under 'alpha', 'beta'" in message
    assert "correct the labels" in message
    assert "no label has two different documents" not in message


def test_labels_that_no_document_judges() -> None:
    documents = _documents(["a", "a", "b"])
    assert unjudged_labels(["a", "b"], documents, "validation", False) is None
    assert unjudged_labels(["a", "b"], [], "validation", False) is None
    found = unjudged_labels(["a", "b", "c"], documents, "validation", False)
    assert found == (
        "no validation document has the label 'c': no score tells of it, and macro F1 leaves it out unless it is "
        "predicted"
    )
    found = unjudged_labels(["a", "b", "c"], _documents([("a",), ()]), "evaluated", True)
    assert found is not None
    assert found.startswith("no evaluated document has the labels 'b', 'c': ")
    assert found.endswith("counts such a label as 0")
