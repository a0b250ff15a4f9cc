"""The engine's stream, whose windows are read and tokenized in a thread: same results, and no thread left behind."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
import torch

from support.waiting import wait_until
from tokensieve import DataError, InputError
from tokensieve.data import Document
from tokensieve.runtime.classifier import Classifier

WINDOW = 7


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokensieve.runtime.windows._WINDOW_DOCUMENTS", WINDOW)


def no_thread_left() -> bool:
    return all(thread.name != "tokensieve-prefetch" for thread in threading.enumerate())


class Reader:
    """Documents of texts; notes in which threads they were read, how many, and that it was closed."""

    def __init__(self, texts: list[str], error_at: int | None = None) -> None:
        self.texts, self.error_at = texts, error_at
        self.read, self.closed = 0, False
        self.where: set[int] = set()

    def documents(self) -> Iterator[Document]:
        try:
            for number, text in enumerate(self.texts):
                if number == self.error_at:
                    raise DataError(f"line {number}")
                self.where.add(threading.get_ident())
                self.read += 1
                yield Document(text, None, "here", number)
        finally:
            self.closed = True


@pytest.mark.parametrize("skip", [0, 3, 7, 20, 40])
@pytest.mark.parametrize("tokens", [False, True])
def test_the_same_to_the_last_digit(classifier: Classifier, some_texts: list[str], tokens: bool, skip: int) -> None:
    found = [
        list(
            classifier.engine.stream_windows(
                Reader(some_texts).documents(), tokens=tokens, skip=skip, prefetch=prefetch
            )
        )
        for prefetch in (False, True)
    ]
    assert found[0] == found[1]
    assert sum(map(len, found[1])) == 40 - skip


def test_who_reads(classifier: Classifier, some_texts: list[str]) -> None:
    here = {threading.get_ident()}
    for prefetch in (False, True):
        reader = Reader(some_texts)
        assert len(list(classifier.engine.stream(reader.documents(), prefetch=prefetch))) == 40
        assert (reader.where == here) != prefetch
        assert reader.closed


def test_an_iterator_of_the_callers_is_read_in_the_callers_thread(
    classifier: Classifier, some_texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be of a database, whose objects serve only the thread that made them. A list serves any."""
    monkeypatch.setattr("tokensieve.runtime.classifier._PREFETCH_FROM", 10)
    where: list[int] = []

    class Noting(list[str]):
        def __iter__(self) -> Iterator[str]:
            return (where.append(threading.get_ident()) or text for text in super().__iter__())

    for method in (classifier.predict, classifier.encode):
        for texts, other in ((iter(Noting(some_texts)), False), (Noting(some_texts), True), (Noting(["a"]), False)):
            where.clear()
            assert len(method(texts)) == len(where)
            assert len(set(where)) == 1
            assert (where[0] != threading.get_ident()) == other


def test_the_tokenizer_serves_others_meanwhile(classifier: Classifier, some_texts: list[str]) -> None:
    expected = classifier.results(some_texts * 20, tokens=True)
    short = Classifier(type(classifier.engine)(classifier.model, classifier.engine.tokenizer, max_length=5))
    found = []
    for document, result in classifier.engine.stream(Reader(some_texts * 20).documents(), tokens=True):
        found.append(result)
        assert short.results([document.text])[0].length == min(result.length, 5)
    assert found == expected


def test_truncated_counts_what_was_classified_not_what_was_read(classifier: Classifier) -> None:
    reader = Reader(["film " * 100, *["film"] * 6] * 10)
    with closing(classifier.engine.stream_windows(reader.documents())) as windows:
        for window in range(1, 5):
            next(windows)
            wait_until(lambda: reader.read == (window + 2) * WINDOW)  # noqa: B023
            assert classifier.engine.truncated == window
    assert no_thread_left()


def test_what_is_skipped_is_not_counted(classifier: Classifier) -> None:
    reader = Reader(["film " * 100, *["film"] * 6] * 5)
    list(classifier.engine.stream_windows(reader.documents(), skip=2 * WINDOW))
    assert classifier.engine.truncated == 3


@pytest.mark.parametrize("prefetch", [False, True])
def test_an_error_of_the_reader_comes_after_the_windows_before_it(classifier: Classifier, prefetch: bool) -> None:
    reader = Reader(["film"] * 40, error_at=3 * WINDOW + 2)
    found = []
    with pytest.raises(DataError, match="line 23"):
        for window in classifier.engine.stream_windows(reader.documents(), prefetch=prefetch):
            found.append(len(window))
    assert found == [WINDOW] * 3
    assert reader.closed
    assert no_thread_left()


@pytest.mark.parametrize("prefetch", [False, True])
def test_an_error_of_the_tokenizer_comes_after_the_windows_before_it(classifier: Classifier, prefetch: bool) -> None:
    reader = Reader(["film"] * 16 + ["\ud800"] + ["film"] * 30)
    found = []
    with pytest.raises(InputError, match="document 2 is not valid Unicode"):
        for window in classifier.engine.stream_windows(reader.documents(), prefetch=prefetch):
            found.append(len(window))
    assert found == [WINDOW] * 2
    assert reader.closed
    assert no_thread_left()


def test_an_error_of_the_model_ends_the_thread(classifier: Classifier) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("as if")

    reader = Reader(["film"] * 1000)
    stream = classifier.engine.stream(reader.documents())
    for _ in range(WINDOW):
        next(stream)
    classifier.model.head.register_forward_hook(fail)
    with pytest.raises(torch.OutOfMemoryError):
        next(stream)
    assert reader.closed
    assert no_thread_left()
    assert reader.read <= 5 * WINDOW


@pytest.mark.parametrize("prefetch", [False, True])
@pytest.mark.parametrize("method", ["stream", "stream_windows"])
def test_leaving_early_ends_the_thread(classifier: Classifier, method: str, prefetch: bool) -> None:
    reader = Reader(["film"] * 1000)
    source = reader.documents()
    for _ in getattr(classifier.engine, method)(source, prefetch=prefetch):
        break
    assert reader.closed
    assert no_thread_left()
    assert reader.read <= 4 * WINDOW
