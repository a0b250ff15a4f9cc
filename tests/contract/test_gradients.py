"""In training mode the gradient reaches every parameter of every variant, through ragged rows and hard assignments."""

import pytest
import torch

from contract.variants import UNEQUAL, batch, documents, each_variant, settings, tiny_model
from flat import flat_of
from tokensieve import ReductionConfig, TokensieveForSequenceClassification


def unseen_by_softmax(model: TokensieveForSequenceClassification) -> set[str]:
    """Parameters that add the same to all logits of a softmax, so that their gradient is zero whatever the code does.

    In attention the key's bias; in the combining module, whose softmax runs over the queries, theirs and their norm's;
    with soft assignment, whose softmax runs over the keys, theirs and their norm's.
    """
    combining = ("query.bias", "combination_norm.bias")
    if flat_of(model.settings).combine_assignment == "soft":
        combining = ("key.bias", "text_norm.bias")
    names = set()
    for i, step in enumerate(model.encoder.steps):
        own = combining if step.kind == "combine" else ("attention.self.key.bias",)
        names |= {f"encoder.layer.{i}.{name}" for name in own}
    return names


@each_variant
def test_gradients_reach_every_parameter(reduction: ReductionConfig) -> None:
    model = tiny_model(reduction).train()
    model(**batch(documents(UNEQUAL)), labels=torch.arange(len(UNEQUAL)) % 3).loss.backward()
    unseen = unseen_by_softmax(model)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} is not used"
        assert parameter.grad.isfinite().all(), name
        assert name in unseen or parameter.grad.abs().max() > 1e-6, f"no gradient reaches {name}"


@pytest.mark.parametrize("site", ["keys", "hidden"])
def test_gradient_is_the_slope_of_the_loss(site: str) -> None:
    """Nothing flows through the scores: autograd agrees with a central difference small enough to move no token."""
    model = tiny_model(settings(site=site)).double()
    inputs, labels = batch(documents((12, 5))), torch.tensor([0, 2])
    weight = model.encoder.layer[0].attention.self.query.weight
    model(**inputs, labels=labels).loss.backward()
    direction = torch.randn_like(weight)
    losses = []
    for step in (1e-6, -2e-6):
        weight.data += step * direction
        losses.append(float(model(**inputs, labels=labels).loss.detach()))
    slope = float((weight.grad * direction).sum())
    assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(slope, rel=1e-4)


def test_combination_tokens_alone_can_lower_the_loss() -> None:
    model = tiny_model(settings(combine_layer=3, combine_noise=False))
    inputs, labels = batch(documents((20, 30, 12, 25))), torch.tensor([0, 1, 2, 1])
    optimizer = torch.optim.Adam([model.embeddings.combination_tokens.weight], lr=0.02)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
