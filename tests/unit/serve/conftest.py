"""A server in this process, for a tiny classifier of a kind."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import tokensieve
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.results import Result
from tokensieve.serve.app import create_app, loader
from tokensieve.serve.served import Served
from tokensieve.serve.settings import ServeSettings
from unit.serve.tiny_served import MAKE, TEXTS, wait_until_ready


@pytest.fixture(scope="session")
def model_dir(save_classifier: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`model_dir(kind)`: the folder of a classifier of a kind."""
    made: dict[str, Path] = {}

    def find(kind: str) -> Path:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind) / "model"
            MAKE[kind](save_classifier, folder)
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


@pytest.fixture
def plain(model_dir: Callable[[str], Path]) -> Callable[[], Served]:
    return loader(str(model_dir("plain")), device="cpu")


@pytest.fixture
def results(offline: Callable[[str], Classifier]) -> list[Result]:
    """What the plain classifier gives for the texts, without a server."""
    return offline("plain").results(TEXTS)
