"""The loss of several labels a document, whole and in parts, beside torch's own."""

import pytest
import torch
import torch.nn.functional as F

from tokensieve.training.losses.labels import balanced_positives, step_loss

LABELS = torch.tensor([[1.0, 0, 0, 1], [0, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1], [1, 1, 0, 1]])
"""The third label is nowhere, the last one everywhere."""


def test_positives_are_balanced() -> None:
    assert balanced_positives(LABELS).tolist() == [1.5, 1.5, 1.0, 0.0]


@pytest.mark.parametrize("fillers", [0, 3])
@pytest.mark.parametrize("balanced", [False, True])
def test_it_is_torchs_mean_over_the_documents(balanced: bool, fillers: int) -> None:
    weights = balanced_positives(LABELS) if balanced else None
    logits = torch.randn(len(LABELS) + fillers, 4, requires_grad=True)
    labels, counts = torch.cat([LABELS, LABELS[:fillers]]), torch.tensor([1.0] * len(LABELS) + [0.0] * fillers)
    expected = F.binary_cross_entropy_with_logits(logits[: len(LABELS)], LABELS, pos_weight=weights)
    sample_weight = counts if fillers else None
    found = step_loss(weights, multi_label=True)({"logits": logits}, labels, sample_weight=sample_weight)
    torch.testing.assert_close(found, expected)
    (gradient,), (wanted,) = (torch.autograd.grad(loss, logits, retain_graph=True) for loss in (found, expected))
    torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize("balanced", [False, True])
def test_parts_of_a_step_add_up(balanced: bool) -> None:
    """An item is a pair of document and label, as transformers counts them."""
    weights = balanced_positives(LABELS) if balanced else None
    logits, items = torch.randn(5, 4), torch.tensor(LABELS.numel())
    loss = step_loss(weights, multi_label=True)
    parts = [loss({"logits": logits[part]}, LABELS[part], items) for part in (slice(0, 3), slice(3, 5))]
    expected = F.binary_cross_entropy_with_logits(logits, LABELS, pos_weight=weights)
    torch.testing.assert_close(sum(parts), expected)
