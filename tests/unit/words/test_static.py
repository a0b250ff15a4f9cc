"""Mean vectors, and the regression on them."""

import numpy as np
import pytest
import torch

from tokensieve.errors import DataError
from tokensieve.words.static import StaticClassifier, mean_vectors


def test_the_mean_of_each_documents_vectors() -> None:
    table = torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])
    means = mean_vectors(table, [[1, 2], [], [2], [1, 1, 2, 0]])
    assert means.tolist() == [[2.0, 3.0], [0.0, 0.0], [3.0, 4.0], [1.25, 2.0]]


@pytest.mark.parametrize("kind", ["single", "binary", "multi"])
@pytest.mark.parametrize("validates", [True, False])
def test_it_learns(kind: str, validates: bool) -> None:
    generator = np.random.default_rng(0)
    classes = 2 if kind == "binary" else 3
    ids = np.arange(60) % classes
    vectors = (np.eye(classes)[ids] + 0.1 * generator.standard_normal((60, classes))).astype(np.float32)
    targets = np.eye(classes, dtype=int)[ids] if kind == "multi" else ids
    validation = (vectors[:20], targets[:20]) if validates else None
    found = StaticClassifier.fit(vectors, targets, classes, validation=validation)
    logits = found.logits(vectors)
    assert logits.shape == (60, classes)
    assert ((logits > 0) == targets).all() if kind == "multi" else (logits.argmax(1) == ids).all()


def test_one_class_alone() -> None:
    with pytest.raises(DataError, match="same labels"):
        StaticClassifier.fit(np.zeros((3, 2), np.float32), [0, 0, 0], 2)
