"""A tiny classifier of every kind, with texts for it; and how to wait for a server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

import tokensieve
from support.folders import change_config
from support.waiting import wait_until
from tokensieve.cascade.words_first import WordsFirst, WordsFirstSettings
from tokensieve.words import WordsClassifier

LABELS = ["film", "law", "sport"]
TEXTS = [
    "the film was good .",
    "court and judge , the law",
    "goal",
    "the team and the player " * 20,
    "price of a share is not the price",
    "bad film , bad market",
]
"""One of them is longer than the 64 positions."""


def _bag() -> WordsClassifier:
    return WordsClassifier.fit(
        ["the film", "good film", "the law", "court", "a goal", "team"], [0, 0, 1, 1, 2, 2], LABELS
    )


def _plain(save: Callable[..., Path], folder: Path) -> None:
    save(folder, combine_layer=3)


def _cascade(save: Callable[..., Path], folder: Path) -> None:
    save(folder, reread=0.4)
    confidence = tokensieve.load(folder, device="cpu").predict_proba(TEXTS).max(1)
    change_config(folder, defer_below=float(sorted(confidence)[3]))


def _multi_label(save: Callable[..., Path], folder: Path) -> None:
    save(folder)
    change_config(folder, problem_type="multi_label_classification", calibration_temperature=2.5)
    thresholds = tokensieve.load(folder, device="cpu").predict_proba(TEXTS).mean(0).tolist()
    change_config(folder, thresholds=thresholds)


def _pairs(save: Callable[..., Path], folder: Path) -> None:
    save(folder)
    change_config(folder, text_pairs=True)


def _words(save: Callable[..., Path], folder: Path) -> None:
    _bag().save(folder)


def _words_first(save: Callable[..., Path], folder: Path) -> None:
    save(folder)
    bag = _bag()
    below = float(sorted(bag.predict_proba(TEXTS).max(1))[3])
    WordsFirst(bag, WordsFirstSettings(below, 0.4, 0.7)).save(folder)


MAKE = {
    "plain": _plain,
    "cascade": _cascade,
    "multi_label": _multi_label,
    "pairs": _pairs,
    "words": _words,
    "words_first": _words_first,
}
KINDS = tuple(MAKE)


def wait_until_ready(client: TestClient) -> TestClient:
    wait_until(lambda: client.get("/health").status_code == 200)
    return client


def ask(client: TestClient, path: str, body: Any) -> Any:
    """The answer to a body, which must be one."""
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()
