"""A bag of words: what it learns, and what it shares with scikit-learn's own pipeline."""

from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from tokensieve.errors import ConfigError, DataError, InputError
from tokensieve.words import WordsClassifier, WordsSettings, terms
from tokensieve.words import classifier as module
from tokensieve.words.terms import TermWeights, fit_terms
from unit.words.bags import KINDS, LABELS, fitted, labelled_texts, matrix_of


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns(kind: str) -> None:
    words, texts = fitted(kind)
    classes = 2 if kind == "binary" else 1 if kind == "one label" else 3
    _, ids = labelled_texts(20, seed=1, classes=2 if kind == "binary" else 3)
    predicted, probabilities = words.predict(texts), words.predict_proba(texts)
    assert probabilities.shape == (20, classes)
    assert probabilities.dtype == np.float32
    if kind == "multi":
        assert (predicted == matrix_of(ids)).mean() > 0.8
    elif kind == "one label":
        assert (predicted[:, 0] == (np.array(ids) == 0)).all()
    else:
        assert (predicted == ids).all()
        assert probabilities.sum(1) == pytest.approx(np.ones(20), abs=1e-5)
        assert (probabilities.argmax(1) == predicted).all()


def test_it_is_scikit_learns_pipeline() -> None:
    texts, ids = labelled_texts(60, classes=2)
    unseen, _ = labelled_texts(20, seed=1, classes=2)
    words = WordsClassifier.fit(texts, ids, LABELS[:2])
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    regression = LogisticRegression(C=10.0, solver="liblinear", dual=True, random_state=0, max_iter=1000)
    regression.fit(vectorizer.fit_transform(texts), ids)
    expected = regression.predict_proba(vectorizer.transform(unseen))
    assert words.predict_proba(unseen) == pytest.approx(expected, abs=1e-4)
    assert isinstance(words.weights.vectorizers[0], TfidfVectorizer)
    assert words.regression.predict_proba(words.weights(unseen)) == pytest.approx(expected, abs=1e-4)


def test_validation_chooses_and_calibrates() -> None:
    words, _ = fitted()
    assert words.settings.ngrams == 1  # of equals, the first
    assert words.settings.inverse_penalty == 10.0
    assert words.temperature != 1.0
    assert fitted(ngrams=2, inverse_penalty=3.0)[0].settings == WordsSettings(ngrams=2, inverse_penalty=3.0)


def test_pairs_of_words_where_they_tell_more() -> None:
    texts = ["not good at all", "good not at all", "at all not good", "at all good not"] * 10
    ids = [0, 1, 0, 1] * 10
    words = WordsClassifier.fit(texts, ids, ("a", "b"), validation=(texts, ids))
    assert words.settings.ngrams == 2
    assert (words.predict(texts) == ids).all()


def test_both_texts_of_a_pair_have_terms_of_their_own() -> None:
    pairs = [("film court", "law"), ("law", "film film"), ("film", "law team"), ("court law", "film")]
    words = WordsClassifier.fit(pairs, [0, 1, 0, 1], ("a", "b"))
    assert words.weights.terms == [["court", "film", "law"], ["film", "law", "team"]]
    assert words.predict([("film", "law"), ("law", "film")]).tolist() == [0, 1]


def test_weights_of_documents_count() -> None:
    texts, ids = ["film law"] * 20, [0, 1] * 10
    weights = [10.0 if number == 1 else 1.0 for number in ids]
    words = WordsClassifier.fit([*texts, "team"], [*ids, 0], ("a", "b"), sample_weight=[*weights, 1.0])
    assert words.predict(["film law"]).tolist() == [1]


def test_no_global_random_state_is_drawn_from() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].tolist()  # type: ignore[index]
    first, texts = fitted()
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]
    np.random.seed(1)
    assert (fitted()[0].predict_proba(texts) == first.predict_proba(texts)).all()


def test_many_documents_are_searched_by_some_and_fitted_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEARCHED", 30)
    texts, ids = labelled_texts(60)
    texts[1] += " onlyhere"
    words = WordsClassifier.fit(texts, ids, LABELS, validation=(texts, ids))
    assert "onlyhere" in words.weights.terms[0]


def test_labels_of_every_document_or_none() -> None:
    texts, ids = labelled_texts(30)
    matrix = matrix_of(ids)
    matrix[:, 1], matrix[:, 2] = 1, 0
    words = WordsClassifier.fit(texts, matrix, LABELS)
    assert (words.predict(texts)[:, 1:] == [1, 0]).all()


def test_thresholds_decide() -> None:
    words, texts = fitted("multi")
    words.thresholds = (0.0, 1.1, 0.0)
    assert (words.predict(texts) == [1, 0, 1]).all()


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("most", [7, 200_000])
def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch, pairs: bool, most: int) -> None:
    texts, _ = labelled_texts(50)
    given = [(text, text[::-1]) for text in texts] if pairs else texts
    whole, matrix = fit_terms(given, 2, most)
    monkeypatch.setattr(terms, "CHUNK_DOCUMENTS", 7)
    parts, other = fit_terms(given, 2, most)
    assert parts.terms == whole.terms
    assert all((a == b).all() for a, b in zip(parts.idf, whole.idf, strict=True))
    assert abs(matrix - other).max() < 1e-6
    assert abs(whole(given) - matrix).max() < 1e-6


def test_the_vocabulary_is_capped_by_document_frequency() -> None:
    found, matrix = fit_terms(["aa aa aa aa bb", "bb cc", "cc dd bb", "cc dd"], 1, 2)
    assert found.terms == [["bb", "cc"]]
    assert matrix.shape == (4, 2)


def test_the_table_of_terms_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "CHUNK_DOCUMENTS", 2)
    sizes = []
    most_common = terms.Counter.most_common

    def watched(counter: "terms.Counter[str]", most: int) -> list[tuple[str, int]]:
        sizes.append(len(counter))
        return most_common(counter, most)

    monkeypatch.setattr(terms.Counter, "most_common", watched)
    texts = [f"often word{number} thing{number}" for number in range(60)]
    found, _ = fit_terms(texts, 1, 1)
    assert found.terms == [["often"]]
    assert sizes
    assert max(sizes) < 20


def test_a_stream_is_answered_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    words, texts = fitted()
    whole = words.logits(texts)
    monkeypatch.setattr(terms, "CHUNK_DOCUMENTS", 6)
    read = 0

    def stream() -> Iterator[str]:
        nonlocal read
        for text in texts:
            read += 1
            yield text

    parts = words.logit_chunks(stream())
    first = next(parts)
    assert (len(first), read) == (6, 6)
    assert np.concatenate([first, *parts]) == pytest.approx(whole, abs=1e-6)
    assert words.logits([]).shape == (0, 3)


def test_long_texts_make_small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "CHUNK_CHARACTERS", 10)
    assert [len(chunk) for chunk in terms.chunks(["a" * 6, "b" * 6, ("c" * 5, "d" * 5), "e"])] == [2, 1, 1]


@pytest.mark.parametrize(
    ("texts", "targets", "text"),
    [
        (["a b", ". !"], [0, 1], "no words"),
        (["film", "law"], [0, 0], "same labels"),
        (["film", "law"], [0, 2], "class ids"),
        (["film", "law"], [0], "class ids"),
        (["film", "law"], [[0, 1], [2, 0]], "0 and 1"),
        (["film", "law"], [[0, 1, 0], [1, 0, 0]], "0 and 1"),
    ],
)
def test_data_that_cannot_be(texts: list[str], targets: list[int], text: str) -> None:
    with pytest.raises(DataError, match=text):
        WordsClassifier.fit(texts, targets, ("a", "b"))


def test_weights_that_do_not_fit() -> None:
    with pytest.raises(DataError, match="one for each of 2"):
        WordsClassifier.fit(["film", "law"], [0, 1], ("a", "b"), sample_weight=[1.0])


def test_texts_of_the_wrong_form() -> None:
    single, pair = fitted()[0], fitted("pairs")[0]
    for words, text in ((single, ("a", "b")), (pair, "a"), (single, 3), (pair, ("a", None))):
        with pytest.raises(InputError, match="document 0"):
            words.predict([text])  # type: ignore[list-item]
    with pytest.raises(InputError, match="not one string"):
        single.predict("text")
    with pytest.raises(InputError, match="document 1"):
        WordsClassifier.fit(["film", ("law", "law")], [0, 1], ("a", "b"))


@pytest.mark.parametrize(
    ("name", "value"), [("max_terms", 0), ("ngrams", 0), ("ngrams", 1.0), ("inverse_penalty", 0), ("ngrams", True)]
)
def test_settings_that_cannot_be(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        WordsSettings(**{name: value})  # type: ignore[arg-type]


def test_a_text_without_known_terms_gets_an_answer() -> None:
    words, _ = fitted()
    assert words.predict_proba(["", "unknown"]).sum(1) == pytest.approx(np.ones(2), abs=1e-6)
    assert isinstance(words.weights, TermWeights)


def test_texts_without_known_terms_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "CHUNK_DOCUMENTS", 2)
    words, _ = fitted()
    assert words.lacks_words(["film", "zzz", "zzz law", "a"]).tolist() == [False, True, False, True]
    assert words.lacks_words([]).tolist() == []
