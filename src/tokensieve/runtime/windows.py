"""Windows: a stream of documents is cut, prepared (tokenized) and prefetched, a window at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Generic, TypeVar

from tokensieve.data.documents import Document
from tokensieve.data.stoppable import stop_asked
from tokensieve.data.tokenize import Encodings, encode
from tokensieve.data.tokenized import pairs_of
from tokensieve.errors import InputError
from tokensieve.runtime.batching import windows
from tokensieve.runtime.prefetch import prefetched

_WINDOW_DOCUMENTS = 1024
_WINDOW_CHARACTERS = 8_000_000  # bounds the memory of a window of very long documents
_PREFETCHED_WINDOWS = 2  # read and tokenized while the model is at work


Prepared = TypeVar("Prepared")


@dataclass(frozen=True)
class Window(Generic[Prepared]):
    """Documents that are sorted and batched together; the first `done` of them have their results.

    Attributes:
        documents: in their order.
        prepared: what the model works on, such as their tokens.
        done: as above.
    """

    documents: list[Document]
    prepared: Prepared
    done: int


def prepared_windows(
    documents: Iterable[Document], prepare: Callable[[Sequence[Document]], Prepared], skip: int, prefetch: bool
) -> Generator[Window[Prepared], None, None]:
    """The windows of a stream.

    Args:
        documents: closed at the end, or when this generator is, if it is an iterator that can be.
        prepare: makes of a window what the model works on; it tokenizes.
        skip: documents at the start that have their results. Windows that are skipped whole are left out.
        prefetch: read and prepare in a thread, some windows ahead.
    """
    made = _prepared(documents, prepare, skip)
    return prefetched(made, _PREFETCHED_WINDOWS) if prefetch else made


def _prepared(
    documents: Iterable[Document], prepare: Callable[[Sequence[Document]], Prepared], skip: int
) -> Generator[Window[Prepared], None, None]:
    """Windows as they are read."""
    with closing(unfinished(documents, skip)) as windows_left:
        for window, done in windows_left:
            yield Window(window, prepare(window), done)


def unfinished(documents: Iterable[Document], skip: int) -> Generator[tuple[list[Document], int], None, None]:
    """The windows with documents that have no results yet, each with the number at its start that have them.

    Args:
        documents: as in `prepared_windows`.
        skip: documents at the start that have their results.
    """
    with _closed(documents) as source:
        for window in cut(source):
            done, skip = min(skip, len(window)), max(skip - len(window), 0)
            if stop_asked():
                return
            if done < len(window):
                yield window, done


def encode_documents(
    tokenizer: Any,
    documents: Sequence[Document],
    max_length: int,
    pairs: bool | None,
    side: str | None = None,
    places: bool = False,
) -> Encodings:
    """Tokenize documents.

    Args:
        tokenizer: of the model.
        documents: all single texts, or all pairs.
        max_length: tokens at which each is truncated.
        pairs: whether the classifier was trained on pairs; None: not known.
        side: on which tokens are cut off, as in `encode`.
        places: tell where each token stands in its text.

    Raises:
        InputError: a text without any token; single texts for a classifier of pairs, or the other way round.
        DataError: some documents have a second text and others have not.
    """
    seconds = check_forms(documents, pairs)
    return encode(tokenizer, [document.text for document in documents], max_length, seconds, side, places)


def check_forms(documents: Sequence[Document], pairs: bool | None) -> list[str] | None:
    """The second texts of documents, None where they have none; arguments and errors as in `encode_documents`."""
    seconds = pairs_of(documents)
    _check_form(documents[0], seconds is not None, pairs)
    return seconds


def _check_form(first: Document, paired: bool, trained: bool | None) -> None:
    if trained is None or trained == paired:
        return
    forms = ("a single text", "single texts"), ("a pair of texts", "pairs of texts")
    remedy = "name the column of the second text (--pair-column)" if trained else "leave the second text out"
    raise InputError(
        f"{first.source}, line {first.line}: is {forms[paired][0]}, and the classifier was trained on "
        f"{forms[trained][1]}: {remedy}"
    )


@contextmanager
def _closed(documents: Iterable[Document]) -> Iterator[Iterator[Document]]:
    """An iterator that ends when its thread is asked to stop, and is closed at the end if it can be."""
    source = iter(documents)
    try:
        yield takewhile(lambda _: not stop_asked(), source)
    finally:
        if (close := getattr(source, "close", None)) is not None:
            close()


def cut(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Runs of documents, each of so many documents or characters as a window holds."""

    def size(document: Document) -> int:
        return len(document.text) + len(document.pair or "")

    return windows(documents, size, _WINDOW_DOCUMENTS, _WINDOW_CHARACTERS)
