"""The loss with the penalty of gates, by hand."""

import pytest
import torch
import torch.nn.functional as F

from tokensieve.training.losses.labels import step_loss
from tokensieve.training.losses.penalty import PenalisedLoss


def test_by_hand() -> None:
    """The third document only fills up the batch, and a step of eight documents has other batches."""
    logits, labels, penalty = torch.randn(3, 5), torch.tensor([1, 4, 2]), torch.tensor([0.5, 0.1, 7.0])
    outputs, counts = {"logits": logits, "penalty": penalty}, torch.tensor([1.0, 1.0, 0.0])
    loss = PenalisedLoss(step_loss(None))
    whole = float(loss(outputs, labels, sample_weight=counts))
    assert whole == pytest.approx(float(F.cross_entropy(logits[:2], labels[:2])) + 0.3, rel=1e-5)
    assert float(loss(outputs, labels, 8, counts)) == pytest.approx(whole * 2 / 8, rel=1e-5)


def test_with_several_labels() -> None:
    logits, labels, penalty = torch.randn(2, 4), torch.tensor([[1.0, 0, 0, 1], [0, 0, 1, 0]]), torch.tensor([0.5, 0.1])
    loss = PenalisedLoss(step_loss(None, True))
    found = float(loss({"logits": logits, "penalty": penalty}, labels))
    assert found == pytest.approx(float(F.binary_cross_entropy_with_logits(logits, labels)) + 0.3, rel=1e-5)
