"""A tiny classifier of every kind, and a server in this process for it."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import tokensieve
from tokensieve.cascade.words_first import WordsFirst, WordsFirstSettings
from tokensieve.runtime.classifier import Classifier
from tokensieve.serve.app import create_app, loader
from tokensieve.serve.settings import ServeSettings
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


def _bag(**options: Any) -> WordsClassifier:
    return WordsClassifier.fit(["the film", "good film", "the law", "court", "a goal", "team"], [0, 0, 1, 1, 2, 2], LABELS)


def _plain(save: Callable[..., Path], folder: Path) -> None:
    save(folder, combine_layer=3)


def _cascade(save: Callable[..., Path], folder: Path) -> None:
    save(folder, reread=0.4)
    _change(folder, defer_below=0.36)


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


_MAKE = {
    "plain": _plain,
    "cascade": _cascade,
    "multi_label": _multi_label,
    "pairs": _pairs,
    "words": _words,
    "words_first": _words_first,
}
KINDS = tuple(_MAKE)


def _change(folder: Path, **fields: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | fields), encoding="utf-8")


@pytest.fixture(scope="session")
def model_dir(
    save_classifier: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """`model_dir(kind)`: the folder of a classifier of a kind."""
    made: dict[str, Path] = {}

    def find(kind: str) -> Path:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind) / "model"
            _MAKE[kind](save_classifier, folder)
            made[kind] = folder
        return made[kind]

    return find


@pytest.fixture(scope="session")
def offline(model_dir: Callable[[str], Path]) -> Callable[[str], Classifier]:
    """`offline(kind)`: the same classifier, without a server."""
    made: dict[str, Classifier] = {}

    def find(kind: str) -> Classifier:
        if kind not in made:
            made[kind] = tokensieve.load(model_dir(kind), device="cpu")
        return made[kind]

    return find


def wait_until_ready(client: TestClient) -> TestClient:
    deadline = time.monotonic() + 60
    while client.get("/health").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return client


@pytest.fixture
def serve(model_dir: Callable[[str], Path]) -> Iterator[Callable[..., TestClient]]:
    """`serve(kind, **settings)`: a client of a server that is ready."""
    with ExitStack() as stack:

        def start(kind: str = "plain", **settings: Any) -> TestClient:
            folder = model_dir(kind)
            app = create_app(ServeSettings(**{"name": "tiny"} | settings), loader(str(folder), device="cpu"))
            return wait_until_ready(stack.enter_context(TestClient(app)))

        yield start


@pytest.fixture(scope="module")
def client(model_dir: Callable[[str], Path]) -> Iterator[TestClient]:
    """A client of a server of the plain classifier, for tests that leave it as it is."""
    app = create_app(ServeSettings(name="tiny"), loader(str(model_dir("plain")), device="cpu"))
    with TestClient(app) as found:
        yield wait_until_ready(found)
