"""A bag of words ahead of an encoder: who answers, how both answers are combined, and what is never tokenized."""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

import tokensieve
from tokensieve.cascade.words_first import WordsFirst, WordsFirstSettings
from tokensieve.data.documents import Document
from tokensieve.errors import CheckpointError
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.fingerprint import hash_of_model
from tokensieve.runtime.words_first import WordsFirstEngine
from tokensieve.words import WordsClassifier

WORDS_WEIGHT, ENCODER_WEIGHT = 0.4, 0.7
"""Some weights, which do not add up to 1."""


@pytest.fixture(scope="module")
def words(classifier_dir: Path) -> WordsClassifier:
    labels = tokensieve.load(classifier_dir, device="cpu").labels
    names = ["good", "bad", "film", "court", "goal", "market", "team", "law", "share", "player", "price", "judge"]
    generator = Random(3)
    own = [" ".join(generator.choices(names, k=12)) for _ in range(60)]
    found = WordsClassifier.fit(own, np.arange(60) % len(labels), labels)
    found.temperature = 0.8
    return found


def ahead(classifier: Classifier, words: WordsClassifier, below: float, **options: Any) -> Classifier:
    """The classifier, with a bag of words ahead."""
    first = WordsFirst(words, WordsFirstSettings(below, WORDS_WEIGHT, ENCODER_WEIGHT))
    engine = classifier.engine
    return Classifier(WordsFirstEngine(engine.model, engine.tokenizer, first, **options))


def middle(words: WordsClassifier, some: Sequence[str]) -> float:
    """A confidence that half of the texts are below."""
    return float(np.median(words.predict_proba(some).max(1)))


def test_each_answer_is_that_of_its_stage(
    classifier: Classifier, words: WordsClassifier, some_texts: list[str]
) -> None:
    classifier.model.config.calibration_temperature = 1.7
    below = middle(words, some_texts)
    results = ahead(classifier, words, below).results(some_texts)
    plain, first = classifier.results(some_texts), words.predict_proba(some_texts)
    stages = [result.stage for result in results]
    assert set(stages) == {"words", "encoder"}
    for result, alone, own in zip(results, plain, first, strict=True):
        assert (result.stage == "words") == (own.max() >= below)
        wanted = torch.from_numpy(own)
        if result.stage == "encoder":
            scores = WORDS_WEIGHT * wanted.log() + ENCODER_WEIGHT * torch.tensor(alone.logits) / 1.7
            wanted = scores.softmax(0)
            assert (result.kept, result.length) == (alone.kept, alone.length)
        else:
            assert (result.kept, result.length) == ((), 0)
        assert result.probabilities == pytest.approx(wanted.tolist(), abs=1e-5)
        assert result.label == int(wanted.argmax())
        read = (torch.tensor(result.logits) / 1.7).softmax(0)
        assert read.tolist() == pytest.approx(result.probabilities, abs=1e-5), "as whoever reads them takes them"


def test_what_the_bag_answers_is_never_tokenized(classifier: Classifier, words: WordsClassifier) -> None:
    class NoTokenizer:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"the tokenizer was asked for {name}")

    whole = ahead(classifier, words, 0.0)
    whole.engine.tokenizer = NoTokenizer()
    assert whole.predict(["the court", "a goal"]) == [words.labels[i] for i in words.predict(["the court", "a goal"])]


def test_a_document_alone_and_in_any_batch(
    classifier: Classifier, words: WordsClassifier, some_texts: list[str]
) -> None:
    whole = ahead(classifier, words, middle(words, some_texts), batch_tokens=100)
    together = whole.predict_proba(some_texts)
    alone = np.concatenate([whole.predict_proba([text]) for text in some_texts])
    assert alone == pytest.approx(together, abs=1e-5)


def test_a_stream_of_several_windows_and_a_start_that_is_skipped(
    classifier: Classifier, words: WordsClassifier, some_texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokensieve.runtime.windows._WINDOW_DOCUMENTS", 7)
    documents = [Document(text, None, "made up", line) for line, text in enumerate(some_texts)]
    engine = ahead(classifier, words, middle(words, some_texts)).engine
    for prefetch in (True, False):
        pairs = list(engine.stream(iter(documents), prefetch=prefetch))
        assert [own.line for own, _ in pairs] == list(range(len(documents)))
        left = [pair for window in engine.stream_windows(iter(documents), skip=10) for pair in window]
        assert [own.line for own, _ in left] == list(range(10, len(documents)))
        assert [result.label for _, result in left] == [result.label for _, result in pairs[10:]]


def test_tokens_are_those_that_the_encoder_kept(
    classifier: Classifier, words: WordsClassifier, some_texts: list[str]
) -> None:
    results = ahead(classifier, words, middle(words, some_texts)).results(some_texts, tokens=True)
    plain = classifier.results(some_texts, tokens=True)
    for result, alone in zip(results, plain, strict=True):
        assert result.tokens == (() if result.stage == "words" else alone.tokens)
        assert result.joined == (None if result.stage == "words" else alone.joined)


def test_document_vectors_are_the_encoders(
    classifier: Classifier, words: WordsClassifier, some_texts: list[str]
) -> None:
    assert ahead(classifier, words, 0.0).encode(some_texts) == pytest.approx(classifier.encode(some_texts), abs=1e-6)


def test_a_folder_of_both(
    save_classifier: Callable[..., Path],
    words: WordsClassifier,
    some_texts: list[str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = save_classifier(tmp_path / "both", combine_layer=3)
    plain = tokensieve.load(folder, device="cpu")
    below = middle(words, some_texts)
    WordsFirst(words, WordsFirstSettings(below, WORDS_WEIGHT, ENCODER_WEIGHT)).save(folder)
    with caplog.at_level("WARNING"):
        whole = tokensieve.load(folder, device="cpu")
    assert not caplog.records
    assert whole.engine.stages == ("words", "encoder")
    assert whole.predict_proba(some_texts) == pytest.approx(
        ahead(plain, words, below).predict_proba(some_texts), abs=1e-6
    )
    assert hash_of_model(whole) != hash_of_model(plain)
    with caplog.at_level("WARNING"):
        type(plain.model).from_pretrained(folder)
    assert "encoder alone" in caplog.text
    (folder / "words.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"words\.safetensors is missing"):
        tokensieve.load(folder, device="cpu")
