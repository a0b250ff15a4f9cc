"""Estimators that start from the tiny BERT, and texts whose class one of their words tells."""

from pathlib import Path

import pytest

from tokensieve import TokensieveClassifier
from unit.estimator.keyword_texts import FAST, LEARNS, Make, texts_and_labels


@pytest.fixture(scope="session")
def make(tiny_bert_dir: Path) -> Make:
    """`make(**parameters)` gives an unfitted estimator that is fast to fit."""
    return lambda **parameters: TokensieveClassifier(tiny_bert_dir, **FAST | parameters)


@pytest.fixture(scope="session")
def fitted(make: Make) -> TokensieveClassifier:
    """An estimator that has learnt the three classes; not to be changed."""
    return make(**LEARNS).fit(*texts_and_labels(60))
