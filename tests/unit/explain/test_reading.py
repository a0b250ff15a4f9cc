"""What `explain` tells agrees with what the engine tells, for every kind of reduction; without it nothing is hooked."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import tokensieve
from tokensieve.cascade.words_first import WordsFirst, WordsFirstSettings
from tokensieve.data.documents import Document
from tokensieve.errors import ConfigError
from tokensieve.explain.reading import explain
from tokensieve.methods import METHODS
from tokensieve.runtime.bag_of_words import BagOfWords
from tokensieve.runtime.classifier import Classifier
from tokensieve.words import WordsClassifier

SETTINGS: dict[str, dict[str, Any]] = {
    "dense": {"pruning": "none"},
    "keys": {"pruning": "fuzzy"},
    "keys-combined": {"pruning": "fuzzy", "combine_layer": 3},
    "per-head": {"pruning": "ratio", "heads": "per_head", "combine_layer": 4},
    "combined-first": {"pruning": "none", "combine_layer": 1},
    "hidden": {"pruning": "ratio", "site": "hidden", "pooling": "mean"},
    "quartiles": {"pruning": "fuzzy", "ratio_scope": "candidates", "site": "hidden", "combine_layer": 4},
    "learned": {"site": "hidden", "score": "learned", "pruning": "ratio", "pooling": "mean", "leaving_keys": True},
    "merged": {"pruning": "ratio", "site": "hidden", "merge_pruned": True},
    "tome": {"reduction": METHODS["tome"].settings},
    "insert": {"pruning": "ratio", "site": "hidden", "combine_layer": 2, "combine_mode": "insert"},
}
TEXTS = [
    "The court, and the judge: a market price of the player was not good.",
    "goal",
    "Zebra film bad good team the a of in to and is was not law share player price judge the film",
]


def documents(*texts: str, label: str | None = None) -> list[Document]:
    return [Document(text, label, "texts.jsonl", line) for line, text in enumerate(texts, 1)]


@pytest.fixture
def make(save_classifier: Callable[..., Path], tmp_path: Path) -> Iterator[Callable[..., Classifier]]:
    """Loads a random classifier of these settings, whose learned scores differ between tokens."""

    def made(name: str = "model", **settings: Any) -> Classifier:
        folder = save_classifier(tmp_path / name, **settings)
        if settings.get("score") == "learned":
            from safetensors.torch import load_file, save_file

            file = folder / "model.safetensors"
            tensors = load_file(file)
            generator = torch.Generator().manual_seed(0)
            for key, tensor in tensors.items():
                if key.endswith("importance.weight"):
                    tensors[key] = torch.randn(tensor.shape, generator=generator)
            save_file(tensors, file, {"format": "pt"})
        return tokensieve.load(folder, device="cpu")

    yield made


@pytest.mark.parametrize("name", SETTINGS)
def test_words_agree_with_what_the_engine_tells(make: Callable[..., Classifier], name: str) -> None:
    classifier = make(**SETTINGS[name])
    for own, told in zip(explain(classifier, documents(*TEXTS)), classifier.results(TEXTS, tokens=True), strict=True):
        (reading,) = own.readings
        assert own.result.label == told.label
        assert own.result.probabilities == pytest.approx(told.probabilities, abs=1e-6)
        text_steps = [layer for layer in reading.layers if layer]
        assert reading.kept[-len(text_steps) or len(reading.kept) :] == told.kept[: len(text_steps)]
        assert reading.length == told.length
        text, words = own.document.text.lower(), [word for word in reading.words if word.survives]
        kept = [token for token in told.tokens or () if token not in ("[CLS]", "[SEP]")]
        spans = [text[word.start : word.end] for word in words]
        assert [span if span in kept else "[UNK]" for span in spans] == kept, "one token a word, in order"
        if told.joined is not None:
            joined = [
                into
                for token, into in zip(told.tokens or (), told.joined, strict=True)
                if token not in ("[CLS]", "[SEP]")
            ]
            assert [word.joined for word in words] == joined
            assert reading.combination == 3
        for word in reading.words:
            assert word.survives or word.left in reading.layers


@pytest.mark.parametrize("name", ["keys", "hidden", "learned"])
def test_words_that_leave_have_lower_scores(make: Callable[..., Classifier], name: str) -> None:
    (own,) = explain(make(**SETTINGS[name], keep_ratio=0.8), documents(TEXTS[2]))
    words = own.readings[0].words
    assert any(not word.survives for word in words)
    assert all(word.score is not None for word in words)
    last = max(word.left or 0 for word in words)
    stay = min(word.score or 0 for word in words if word.survives)
    assert stay >= max(word.score or 0 for word in words if word.left == last)


def test_flops_are_those_of_the_plan(make: Callable[..., Classifier]) -> None:
    classifier = make(**SETTINGS["hidden"])
    for own in explain(classifier, documents(*TEXTS)):
        plan = classifier.model.plan(own.readings[0].length)
        assert plan.basis == "exact"
        assert own.readings[0].flops == pytest.approx(plan.flops)
        assert own.readings[0].dense_flops == plan.dense_flops


def test_hooks_are_gone_afterwards(make: Callable[..., Classifier]) -> None:
    classifier = make(**SETTINGS["keys-combined"])
    explain(classifier, documents(*TEXTS), check=True)
    modules = list(classifier.model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)


def test_a_deferred_document_has_both_readings(make: Callable[..., Classifier]) -> None:
    classifier = make(pruning="ratio", site="hidden", pooling="mean", reread=0.5)
    classifier.model.config.defer_below = 1.0
    (own,) = explain(classifier, documents(TEXTS[2]))
    assert own.deferred
    assert [reading.stage for reading in own.readings] == ["encoder", "second encoder"]
    assert own.result.stage == "second encoder"
    assert all(word.survives for word in own.readings[1].words), "the second one reads all"
    assert not all(word.survives for word in own.readings[0].words)
    classifier.model.config.defer_below = 0.0
    (own,) = explain(classifier, documents(TEXTS[2]))
    assert not own.deferred and len(own.readings) == 1


@pytest.fixture
def bag() -> WordsClassifier:
    texts = ["a film", "the film is bad", "court law", "the judge and law", "team goal", "the player of a team"] * 4
    return WordsClassifier.fit(texts, [0, 0, 1, 1, 2, 2] * 4, ("film", "law", "sport"))


def test_a_bag_of_words_keeps_and_drops_nothing(bag: WordsClassifier) -> None:
    (own,) = explain(BagOfWords(bag), documents("a film"), check=True)
    assert own.readings == ()
    assert own.check is None
    assert own.result.stage == "words"
    assert not own.deferred


def test_a_bag_of_words_ahead(make: Callable[..., Classifier], bag: WordsClassifier, tmp_path: Path) -> None:
    make(**SETTINGS["hidden"])
    WordsFirst(bag, WordsFirstSettings(0.5, 0.5, 0.5)).save(tmp_path / "model")
    classifier = tokensieve.load(tmp_path / "model", device="cpu")
    found = explain(classifier, documents("film film film bad film", "zebra zebra"), check=True)
    assert [own.result.stage for own in found] == ["words", "encoder"]
    assert [own.deferred for own in found] == [False, True]
    assert [bool(own.readings) for own in found] == [False, True]


def test_the_check_reads_the_survivors_alone(make: Callable[..., Classifier]) -> None:
    classifier = make(**SETTINGS["hidden"])
    for own in explain(classifier, documents(*TEXTS), check=True):
        assert own.check is not None
        words = own.readings[0].words
        assert (own.check.kept, own.check.words) == (sum(word.survives for word in words), len(words))
        left = [own.document.text[word.start : word.end] for word in words if word.survives]
        if len(left) == len(words):
            assert own.check.why_none == "every word survived, so there is nothing to delete"
        elif left:
            label = classifier.predict([" ".join(left)])[0]  # this tokenizer sees no space
            assert own.check.stands == (label == classifier.labels[own.result.label])


def test_a_check_without_survivors_says_why(make: Callable[..., Classifier]) -> None:
    classifier = make(pruning="ratio", site="hidden", keep_ratio=0.1, pooling="mean")
    (own,) = explain(classifier, documents("film law goal"), check=True)
    assert own.check is not None and own.check.result is None
    assert "no word of the text survived" in own.check.why_none


def test_dense_is_put_beside(make: Callable[..., Classifier]) -> None:
    classifier, dense = make(**SETTINGS["hidden"]), make("dense", pruning="none")
    for own, result in zip(explain(classifier, documents(*TEXTS), dense=dense), dense.results(TEXTS), strict=True):
        assert own.dense is not None
        assert own.dense.label == result.label
        assert own.dense_agrees == (result.label == own.result.label)


def test_another_classifier_has_to_know_the_labels(make: Callable[..., Classifier], bag: WordsClassifier) -> None:
    other = WordsClassifier.fit(["a film", "a law"] * 4, [0, 1] * 4, ("film", "tax"))
    with pytest.raises(ConfigError, match="'law'"):
        explain(make(), documents("a film"), dense=BagOfWords(other))
    assert explain(make(), documents("a film"), dense=BagOfWords(bag))


def test_one_document_of_many_tokens(make: Callable[..., Classifier]) -> None:
    (own,) = explain(make(**SETTINGS["hidden"]), documents("film law goal " * 60))
    assert own.truncated
    assert own.readings[0].words[-1].end < len(own.document.text)
