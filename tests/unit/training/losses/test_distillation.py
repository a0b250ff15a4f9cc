"""The loss of distillation, beside its definition."""

import pytest
import torch
import torch.nn.functional as F

from tokensieve.training.losses.batch import LOGITS, POOLED
from tokensieve.training.losses.distillation import DistillationLoss
from tokensieve.training.losses.labels import step_loss
from tokensieve.training.recipe import Recipe


def test_the_loss_by_hand() -> None:
    """The third document only fills up the batch."""
    recipe = Recipe(teacher="t", distill_weight=0.3, distill_temperature=4.0, distill_pooled=0.7)
    logits, taught = torch.randn(3, 5), torch.randn(3, 5)
    vectors, taught_vectors = torch.randn(3, 6), torch.randn(3, 6)
    labels, counts = torch.tensor([1, 4, 2]), torch.tensor([1.0, 1.0, 0.0])
    loss = DistillationLoss(step_loss(None), recipe)
    outputs = {"logits": logits, "pooled": vectors}
    own = F.cross_entropy(logits[:2], labels[:2])
    assert loss(outputs, labels, sample_weight=counts) == pytest.approx(float(own))
    batch = {"sample_weight": counts, "targets": {LOGITS: taught, POOLED: taught_vectors}}
    p, q = (taught[:2] / 4).softmax(1), (logits[:2] / 4).softmax(1)
    divergence = 16 * (p * (p / q).log()).sum(1).mean()
    away = (1 - F.cosine_similarity(vectors[:2], taught_vectors[:2])).mean()
    whole = float(loss(outputs, labels, **batch))
    assert whole == pytest.approx(float(0.7 * own + 0.3 * divergence + 0.7 * away), rel=1e-5)
    assert float(loss(outputs, labels, 8, **batch)) == pytest.approx(whole * 2 / 8, rel=1e-5)


def test_the_loss_of_several_labels_by_hand() -> None:
    recipe = Recipe(teacher="t", distill_weight=1.0, distill_temperature=2.0, distill_pooled=0.5)
    logits, taught, vectors = torch.randn(3, 4), torch.randn(3, 4), torch.randn(3, 6)
    labels, counts = torch.tensor([[1.0, 0, 0, 1], [0, 0, 1, 0], [1, 1, 0, 0]]), torch.tensor([1.0, 1.0, 0.0])
    loss, outputs = DistillationLoss(step_loss(None, True), recipe), {"logits": logits, "pooled": vectors}

    def found(pooled: torch.Tensor) -> float:
        return float(loss(outputs, labels, sample_weight=counts, targets={LOGITS: taught, POOLED: pooled}))

    wanted = 4 * F.binary_cross_entropy_with_logits(logits[:2] / 2, (taught[:2] / 2).sigmoid())
    assert found(vectors) == pytest.approx(float(wanted), rel=1e-5)
    assert found(-vectors) == pytest.approx(float(wanted) + 1, rel=1e-5)
