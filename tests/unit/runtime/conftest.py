"""A small classifier, and texts of very unequal length for it."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

import tokensieve
from tokensieve.runtime.classifier import Classifier

WORDS = "the a of good bad film court goal market team law share player price judge"


def texts(lengths: list[int], seed: int = 0) -> list[str]:
    """Texts of so many words; with [CLS] and [SEP] a document has two tokens more."""
    generator = random.Random(seed)
    return [" ".join(generator.choices(WORDS.split(), k=length)) for length in lengths]


@pytest.fixture(scope="session")
def some_texts() -> list[str]:
    """40 texts of 1 to 60 words in no order; some are longer than the 64 positions."""
    generator = random.Random(7)
    return texts([generator.choice([1, 2, 5, 17, 40, 60, 62, 63, 100]) for _ in range(40)])


@pytest.fixture(scope="session")
def classifier_dir(save_classifier: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("classifier"), combine_layer=3)


@pytest.fixture
def classifier(classifier_dir: Path) -> Classifier:
    return tokensieve.load(classifier_dir, device="cpu")
