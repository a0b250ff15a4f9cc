"""The loss of feature distillation, beside its definition."""

import pytest
import torch

from tokensieve.training.losses.batch import POOLED
from tokensieve.training.losses.features import FeatureLoss


@pytest.mark.parametrize("labels", [None, torch.tensor([1, 0, 2, 1]), torch.ones(4, 5)], ids=["none", "one", "several"])
def test_the_loss_by_hand(labels: torch.Tensor | None) -> None:
    """A shift counts for nothing, nor does the last document, which only fills up the batch; no label is read."""
    found, wanted = torch.randn(4, 6), torch.randn(4, 6)
    batch = {"sample_weight": torch.tensor([1.0, 1.0, 1.0, 0.0]), "targets": {POOLED: wanted}}
    loss = FeatureLoss(3.0)
    moved = (found - wanted)[:3]
    expected = float((moved - moved.mean(0)).square().sum() / 3 / 3)
    assert float(loss({"pooled": found}, labels, **batch)) == pytest.approx(expected, rel=1e-5)
    assert float(loss({"pooled": found + 7}, labels, **batch)) == pytest.approx(expected, rel=1e-4)
    assert float(loss({"pooled": found}, labels, 6, **batch)) == pytest.approx(expected / 2, rel=1e-5)
