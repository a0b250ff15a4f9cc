"""A tiny classifier of every kind, with texts for it; and how to wait for a server."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

import tokensieve
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
    _change(folder, defer_below=float(sorted(confidence)[3]))


def _multi_label(save: Callable[..., Path], folder: Path) -> None:
    save(folder)
    _change(folder, problem_type="multi_label_classification", calibration_temperature=2.5)
    thresholds = tokensieve.load(folder, device="cpu").predict_proba(TEXTS).mean(0).tolist()
    _change(folder, thresholds=thresholds)


def _pairs(save: Callable[..., Path], folder: Path) -> None:
    save(folder)
    _change(folder, text_pairs=True)


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


def _change(folder: Path, **fields: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | fields), encoding="utf-8")


def wait_until_ready(client: TestClient) -> TestClient:
    deadline = time.monotonic() + 60
    while client.get("/health").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return client
