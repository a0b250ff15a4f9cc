"""Words marked by the exact gradient: those of the model itself, and how the survivors agree with them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tokensieve
from tokensieve import ConfigError
from tokensieve.data.documents import Document
from tokensieve.explain.gradient import overlap_of_words
from tokensieve.explain.page import write_page
from tokensieve.explain.reading import explain
from tokensieve.explain.terminal import lines
from tokensieve.explain.words import Word
from tokensieve.model.gradients import token_gradients

TEXT = "Zebra film bad good team the a of in to and is was not law share player price judge the film"
PRUNED: dict[str, Any] = {"pruning": "ratio", "site": "hidden", "pooling": "mean", "keep_ratio": 0.8}


def documents() -> list[Document]:
    return [Document(TEXT, None, "texts.jsonl", 1)]


def test_scores_are_those_of_all_tokens(save_classifier: Callable[..., Path], tmp_path: Path) -> None:
    """By the function itself, on the classifier's weights with nothing pruned; special tokens are in no mean."""
    classifier = tokensieve.load(save_classifier(tmp_path / "model", **PRUNED), device="cpu")
    (own,) = explain(classifier, documents(), gradient=True)
    dense = tokensieve.compress(classifier.model, replace(classifier.model.settings, prune=None))
    ids = classifier.engine.tokenizer(TEXT, return_tensors="pt")["input_ids"]
    exact = token_gradients(dense, ids)[0, 1:-1]
    scores = [word.score for word in own.readings[0].words]
    assert len(scores) == len(exact)
    torch.testing.assert_close(torch.tensor(scores), exact / exact.mean(), atol=1e-4, rtol=1e-4)
    words = own.readings[0].words
    assert own.readings[0].overlap == overlap_of_words(words)
    (plain,) = explain(classifier, documents())
    assert plain.readings[0].overlap is None and [word.left for word in plain.readings[0].words] == [
        word.left for word in words
    ]


def test_overlap_by_hand() -> None:
    """Of the two that survived one is among the two highest."""
    rows = [(None, 3.0), (2, 2.0), (None, 1.0), (1, None), (1, 0.5)]
    words = [Word(0, 0, 1, 1, left, score, None) for left, score in rows]
    assert overlap_of_words(words) == 0.5
    assert overlap_of_words([replace(word, left=None) for word in words]) is None


def test_terminal_and_page_tell_it(save_classifier: Callable[..., Path], tmp_path: Path) -> None:
    classifier = tokensieve.load(save_classifier(tmp_path / "model", **PRUNED), device="cpu")
    found = explain(classifier, documents(), gradient=True)
    about = {
        "model": "model",
        "labels": classifier.labels,
        "dense": None,
        "dense_labels": (),
        "input": "t",
        "notes": [],
    }
    told = f"{found[0].readings[0].overlap:.0%} of the words that survived are among as many"
    assert told in "\n".join(lines(found, about, styled=False))
    with (tmp_path / "page.html").open("w", encoding="utf-8") as out:
        write_page(out, found, about)
    assert told in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_int8_is_refused(save_classifier: Callable[..., Path], tmp_path: Path) -> None:
    classifier = tokensieve.load(save_classifier(tmp_path / "model", **PRUNED), device="cpu")
    classifier.model.config.int8 = ["head.classifier"]
    with pytest.raises(ConfigError, match="int8"):
        explain(classifier, documents(), gradient=True)
