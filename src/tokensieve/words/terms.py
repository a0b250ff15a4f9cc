"""Texts -> weights of their terms, by scikit-learn's TfidfVectorizer; the second text of a pair has terms of its own.

Texts are read some thousands at a time. What stays in memory is the table of terms, which is thinned out as it grows,
and the counts of the documents, a few bytes for each different term of a document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tokensieve.errors import DataError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

Text = str | tuple[str, str]
"""A text, or two that are classified together."""

CHUNK_DOCUMENTS = 10_000
CHUNK_CHARACTERS = 20_000_000
"""Texts that are read at a time: so many documents, or fewer where they are long."""
_TABLE = 10
"""The table of terms is thinned out when it has this many times the terms that are wanted."""


class TermWeights:
    """The vectorizers of one text or of two.

    Attributes:
        vectorizers: one for each text of a document, fitted.
    """

    def __init__(self, vectorizers: Sequence[TfidfVectorizer]) -> None:
        self.vectorizers = tuple(vectorizers)

    @classmethod
    def of(cls, terms: Sequence[Sequence[str]], idf: Sequence[NDArray[np.float32]], ngrams: int) -> TermWeights:
        """Vectorizers with these terms and their inverse document frequencies, for each text of a document."""
        return cls([_vectorizer(own, weights, ngrams) for own, weights in zip(terms, idf, strict=True)])

    @property
    def pairs(self) -> bool:
        """Whether documents are pairs of texts."""
        return len(self.vectorizers) == 2

    @property
    def terms(self) -> list[list[str]]:
        """The terms of each vectorizer, in the order of their columns."""
        return [vectorizer.get_feature_names_out().tolist() for vectorizer in self.vectorizers]

    @property
    def idf(self) -> list[NDArray[np.float32]]:
        """Inverse document frequencies, in the order of the terms."""
        return [np.asarray(vectorizer.idf_, dtype=np.float32) for vectorizer in self.vectorizers]

    def __len__(self) -> int:
        return sum(len(vectorizer.vocabulary_) for vectorizer in self.vectorizers)

    def __call__(self, texts: Sequence[Text]) -> csr_matrix:
        """Weights [N, terms] float32; each text's have length 1.

        Raises:
            InputError: single texts where there were pairs, or the other way round.
        """
        from scipy.sparse import hstack

        parts = columns(texts, self.pairs)
        weights = [vectorizer.transform(part) for vectorizer, part in zip(self.vectorizers, parts, strict=True)]
        return weights[0] if len(weights) == 1 else hstack(weights, format="csr")


def fit_terms(
    texts: Sequence[Text], ngrams: int, max_terms: int, sample_weight: NDArray[np.float64] | None = None
) -> tuple[TermWeights, csr_matrix]:
    """Vectorizers for the most frequent terms of some texts, and the weights [N, terms] of these texts.

    Args:
        texts: strings, or all of them pairs of strings.
        ngrams: words of the longest term.
        max_terms: terms of each vectorizer, at most: those of the most documents.
        sample_weight: how many times each text counts in the frequencies of terms, [N], above 0; None: once.

    Raises:
        DataError: the texts have no terms.
        InputError: some texts are pairs, and others are not.
    """
    from scipy.sparse import hstack

    fitted = [_fit_column(column, ngrams, max_terms, sample_weight) for column in columns(texts, are_pairs(texts))]
    weights = [matrix for _, matrix in fitted]
    together = weights[0] if len(weights) == 1 else hstack(weights, format="csr")
    return TermWeights([vectorizer for vectorizer, _ in fitted]), together


def are_pairs(texts: Sequence[Text]) -> bool:
    """Whether the first text is a pair."""
    return bool(texts) and isinstance(texts[0], tuple)


def columns(texts: Sequence[Text], pairs: bool) -> list[list[str]]:
    """The texts, or of pairs the first ones and the second ones.

    Raises:
        InputError: a text of the wrong form.
    """
    for number, text in enumerate(texts):
        parts = text if isinstance(text, tuple) else (text,)
        if len(parts) != 1 + pairs or not all(isinstance(part, str) for part in parts):
            wanted = "(text, second text)" if pairs else "one text"
            raise InputError(f"document {number} is {str(text)[:60]!r}, where {wanted} is wanted: give all in one form")
    if pairs:
        return [[text[0] for text in texts], [text[1] for text in texts]]
    return [[str(text) for text in texts]]


def wordless(weights: csr_matrix) -> NDArray[np.bool_]:
    """Which rows of weights [N, terms] are of texts without a known word, [N]."""
    return np.asarray(weights.getnnz(axis=1) == 0)


def chunks(texts: Iterable[Text]) -> Iterator[list[Text]]:
    """The texts, some at a time."""
    chunk: list[Text] = []
    characters = 0
    for text in texts:
        chunk.append(text)
        characters += sum(map(len, map(str, text))) if isinstance(text, tuple) else len(str(text))
        if len(chunk) >= CHUNK_DOCUMENTS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _fit_column(
    texts: list[str], ngrams: int, max_terms: int, sample_weight: NDArray[np.float64] | None
) -> tuple[TfidfVectorizer, csr_matrix]:
    from sklearn.feature_extraction.text import TfidfTransformer

    terms, counts = _counted(texts, ngrams, max_terms, sample_weight)
    transformer = TfidfTransformer(sublinear_tf=True).fit(counts)
    if sample_weight is not None:
        within = _document_frequencies(counts, sample_weight)
        transformer.idf_ = (np.log((1 + sample_weight.sum()) / (1 + within)) + 1).astype(np.float32)
    return _vectorizer(terms, transformer.idf_, ngrams), transformer.transform(counts)


def _document_frequencies(counts: csr_matrix, sample_weight: NDArray[np.float64] | None) -> NDArray[Any]:
    """How many documents have each term, [terms]; each document counts as its weight says."""
    weights = None if sample_weight is None else np.repeat(sample_weight, np.diff(counts.indptr))
    return np.bincount(counts.indices, weights, minlength=counts.shape[1])


def _counted(
    texts: list[str], ngrams: int, max_terms: int, sample_weight: NDArray[np.float64] | None
) -> tuple[list[str], csr_matrix]:
    """The terms of the most documents, sorted, and how often each document has each of them [N, terms] float32."""
    from scipy.sparse import vstack

    frequencies: Counter[str] = Counter()
    parts, start = list(chunks(texts)), 0
    for part in parts:
        counter, counts = _count(part, ngrams)
        weights = None if sample_weight is None else sample_weight[start : start + len(part)]
        start += len(part)
        if counts is None:
            continue
        names = counter.get_feature_names_out().tolist()
        frequencies.update(dict(zip(names, _document_frequencies(counts, weights).tolist(), strict=True)))
        if len(parts) == 1:
            kept = _most_frequent(frequencies, max_terms)
            return kept, counts if len(kept) == len(names) else counts[:, [counter.vocabulary_[term] for term in kept]]
        if len(frequencies) > _TABLE * max_terms:
            frequencies = Counter(dict(frequencies.most_common(_TABLE * max_terms // 2)))
    if not frequencies:
        raise DataError("the documents have no words (of 2 letters or digits and more), so there is no bag of words")
    terms = _most_frequent(frequencies, max_terms)
    counter = _counter(ngrams, terms)
    return terms, vstack([counter.transform(part) for part in parts], format="csr")


def _most_frequent(frequencies: Counter[str], most: int) -> list[str]:
    """Those of the highest frequency, in the order of their code points; of equal ones the first in that order."""
    return sorted(sorted(frequencies, key=lambda term: (-frequencies[term], term))[:most])


def _count(texts: list[Any], ngrams: int) -> tuple[Any, csr_matrix | None]:
    """A counter, and its counts; None of texts without terms."""
    counter = _counter(ngrams)
    try:
        return counter, counter.fit_transform(texts)
    except ValueError:  # "empty vocabulary"
        return counter, None


def _counter(ngrams: int, terms: Sequence[str] | None = None) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(ngram_range=(1, ngrams), dtype=np.float32, vocabulary=terms)


def _vectorizer(terms: Sequence[str], idf: NDArray[np.float32], ngrams: int) -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, ngrams), dtype=np.float32, vocabulary=terms, sublinear_tf=True)
    vectorizer.idf_ = np.asarray(idf, dtype=np.float32)
    return vectorizer
