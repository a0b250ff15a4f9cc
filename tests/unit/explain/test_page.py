"""The page: figures over documents, its size, and its pictures."""

import io
from dataclasses import replace

import numpy as np
import pytest

from tokensieve.data.documents import Document
from tokensieve.explain.corpus import in_order, judge, mean_kept, words_by_class
from tokensieve.explain.page import is_page, short, visible, write_page
from tokensieve.explain.pictures import bars, chart, ticks
from tokensieve.explain.reading import Explained, Reading
from tokensieve.explain.words import Word
from tokensieve.metrics import expected_calibration_error
from tokensieve.runtime.results import Result

LABELS = ("film", "law")
ABOUT = {"model": "m", "labels": LABELS, "dense": None, "dense_labels": (), "input": "i", "notes": []}


def result(*probabilities: float, stage: str = "encoder") -> Result:
    label = int(np.argmax(probabilities))
    return Result(probabilities, label, (label,), probabilities, 4, (2,), None, None, stage)


def explained(number: int, text: str, survivors: str, answer: Result, label: str | None = None) -> Explained:
    """A document whose words are split at spaces, and leave in layer 1 unless they are named."""
    words, end = [], 0
    for part in text.split(" "):
        left = None if part in survivors.split() else 1
        words.append(Word(0, end, end + len(part), 1, left, 0.5, None))
        end += len(part) + 1
    reading = Reading("encoder", len(words) + 2, (len(survivors.split()) + 2,), (1,), 0, 1e9, 2e9, tuple(words))
    return Explained(number, Document(text, label, "f.jsonl", number), answer, (reading,), False, 1.0, False)


def test_words_kept_and_dropped_by_class() -> None:
    found = [
        explained(1, "The goal of it", "goal", result(0.9, 0.1)),
        explained(2, "the goal a day", "goal day", result(0.8, 0.2)),
        explained(3, "the court", "the", result(0.2, 0.8)),
    ]
    film, law = words_by_class(found, LABELS)
    assert (film.label, film.documents) == ("film", 2)
    assert [(word.word, word.kept, word.documents) for word in film.kept] == [("goal", 2, 2)]
    assert [(word.word, word.kept, word.documents, word.dropped) for word in film.dropped] == [("the", 0, 2, 2)]
    assert law.kept == law.dropped == (), "every word stands in one document"


def test_confusion_and_curve_follow_the_answers() -> None:
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 60)
    truth = ["film" if own else "law" for own in rng.uniform(size=60) < 0.7]
    answers = zip(sure, truth, strict=True)
    found = [explained(i, "a b", "a", result(p, 1 - p), label) for i, (p, label) in enumerate(answers)]
    judged = judge(found, LABELS)
    assert judged is not None and judged.confusion is not None
    assert judged.right == truth.count("film")
    assert judged.confusion.tolist() == [[truth.count("film"), 0], [truth.count("law"), 0]]
    ids = np.array([LABELS.index(label) for label in truth])
    assert judged.ece == expected_calibration_error(np.stack([sure, 1 - sure], 1), ids)
    assert sum(count for _, _, count in judged.curve) == 60
    for low, (confidence, right, count) in zip((0.5, 0.6, 0.7, 0.8, 0.9), judged.curve, strict=True):
        inside = (sure > low) & (sure <= low + 0.1)
        means = sure[inside].mean(), (ids[inside] == 0).mean()
        assert (confidence, right, count) == pytest.approx((*means, inside.sum()))
    assert judge([explained(1, "a", "a", result(1.0, 0.0))], LABELS) is None


def test_several_labels_a_document_have_no_confusion() -> None:
    one = explained(1, "a", "a", result(0.9, 0.8))
    both = Explained(1, Document("a", ("film", "law"), "f", 1), one.result, one.readings, False, 1.0, False)
    judged = judge([both], LABELS)
    assert judged is not None
    assert judged.confusion is None
    assert judged.right == 0, "one of two labels was given"
    assert [count for _, _, count in judged.curve] == [1, 1]


def test_the_order_of_documents() -> None:
    plain = explained(1, "a", "a", result(1.0, 0.0), "film")
    wrong = replace(plain, number=2, result=result(0.1, 0.9))
    deferred = replace(plain, number=3, deferred=True)
    disagrees = replace(plain, number=4, dense=result(0.1, 0.9), dense_agrees=False)
    assert [one.number for one in in_order([plain, deferred, wrong, disagrees], LABELS)] == [4, 2, 3, 1]


def test_mean_tokens() -> None:
    found = [explained(1, "a b c d", "a", result(1.0, 0.0)), explained(2, "a b", "a b", result(1.0, 0.0))]
    assert mean_kept(found) == [("0", 5.0), ("1", 3.5)]
    assert mean_kept([]) == []


def test_two_hundred_long_documents_are_a_small_page() -> None:
    """As many words as 512 tokens have in news, scores of all of them."""
    text = " ".join(f"{'word' * (number % 3)}w{number % 97}" for number in range(420))
    found = [explained(number, text, "w1 w5", result(0.7, 0.3), "film") for number in range(200)]
    out = io.StringIO()
    write_page(out, found, ABOUT)
    assert len(out.getvalue().encode()) < 3_000_000
    assert is_page(io.StringIO(out.getvalue()))
    assert not is_page(io.StringIO("<!doctype html><p>"))


def test_characters_that_browsers_drop_are_pictures() -> None:
    assert visible("a\x00\x08\x1b\x7f\n\tb") == "a\u2400\u2408\u241b\u2421\n\tb"


def test_short_scores() -> None:
    assert [short(number) for number in (0.0213, -0.5, 12.3, 0.0, 1e-7)] == [".021", "-.5", "12", "0", "1e-07"]


def test_bars_stand_on_one_line() -> None:
    found = bars([("0", 100.0), ("1", 50.0), ("2", 0.0)], 300, 76)
    assert [bar.value for bar in found.bars] == ["100", "50", "0"]
    assert [bar.height for bar in found.bars] == [50, 25, 0]
    assert {bar.y + bar.height for bar in found.bars} == {63}


@pytest.mark.parametrize("ends", [(0.0, 1.0), (0.46, 0.58), (-3.0, 12.0), (0.0, 1234.0), (0.99, 0.991)])
def test_ticks_are_few_and_within(ends: tuple[float, float]) -> None:
    found = ticks(*ends)
    assert 3 <= len(found) <= 21
    assert all(ends[0] - 1e-9 <= tick <= ends[1] + 1e-9 for tick in found)


def test_a_chart_has_its_points_between_its_axes() -> None:
    found = chart([("loss", [(0.0, 1.5), (1.0, 0.5)]), ("kept", [(1.0, 0.5)])], "epoch", "loss")
    assert found is not None
    (first, last), (kept,) = (line.points for line in found.lines)
    assert first[0] == found.left and last[0] == found.right
    assert first[1] < last[1] <= found.bottom, "more is higher"
    assert kept == last
    assert [line.name for line in found.dashed] == ["loss"]
    assert chart([("loss", [])], "epoch", "loss") is None
    assert chart([("one", [(2.0, 3.0)])], "x", "y") is not None
