"""The sandwich rule: which shares a step has, what its loss is, and that one classifier then answers at any share."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import tokensieve
from contract.variants import UNEQUAL, batch, documents, settings, tiny_model
from tokensieve import ConfigError
from tokensieve.data import DataSplits
from tokensieve.methods import METHODS
from tokensieve.model.layer import Layer
from tokensieve.training.loop.sandwich import Sandwich
from tokensieve.training.losses.in_place import in_place_loss
from tokensieve.training.losses.labels import step_loss
from tokensieve.training.recipe import Recipe
from tokensieve.training.train import train
from unit.training.keyword_documents import Train, labelled_documents

HIDDEN = {"pruning": "ratio", "site": "hidden", "keep_ratio": 0.6, "pooling": "mean"}
LABELS = torch.arange(len(UNEQUAL)) % 3
RECIPE = Recipe(length_drop=0.4, length_samples=3, seed=5)


def test_shares_of_a_step() -> None:
    """All tokens, the smallest shares, random ones between them; layers that do not prune have none."""
    model = tiny_model(settings(**{**HIDDEN, "keep_ratios": (1.0, 0.5, 0.8, 0.5)}))
    sandwich = Sandwich(model, RECIPE)
    full, smallest, *drawn = sandwich.shares(7)
    assert full == [1, 1, 1]
    assert smallest == [Fraction(3, 5)] * 3
    assert len(drawn) == 3
    assert all(Fraction(3, 5) <= share <= 1 for own in drawn for share in own)
    assert len({share for own in drawn for share in own}) == 9, "each layer of each sub-model draws for itself"
    assert sandwich.shares(7) == [full, smallest, *drawn] == Sandwich(model, RECIPE).shares(7)
    assert sandwich.shares(8)[2:] != drawn
    assert Sandwich(model, Recipe(length_drop=0.4, length_samples=3, seed=6)).shares(7)[2:] != drawn


def test_each_pass_keeps_what_its_shares_say() -> None:
    model = tiny_model(settings(**HIDDEN))
    sandwich, before = Sandwich(model, RECIPE), [layer.share for layer in model.encoder.layer]
    outputs = sandwich.run(model, batch(documents((40,))), 3)
    for shares, output in zip(sandwich.shares(3), outputs, strict=True):
        count = 40
        for share, (kept,) in zip(shares, output.trace.kept, strict=True):
            count = max(2, count * share.numerator // share.denominator)
            assert kept == count
    assert [layer.share for layer in model.encoder.layer] == before


def by_hand(model: Any, inputs: dict[str, torch.Tensor], shares: list[list[Fraction]]) -> torch.Tensor:
    """The loss of a step, from logits of models that were built with the shares."""
    logits = []
    for own in shares:
        for layer, share in zip(model.encoder.layer, own, strict=True):
            layer.share = share
        logits.append(model(**inputs).logits)
    full, *others = logits
    target = full.detach().softmax(1)
    apart = [(target * (target.log() - own.log_softmax(1))).sum(1).mean() for own in others]
    return (F.cross_entropy(full, LABELS) + sum(apart)) / len(logits)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_loss_and_its_gradients(checkpointing: bool) -> None:
    """With gradient checkpointing layers run again when their shares are others; each keeps to those of its pass."""
    sizes = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    ours, theirs = (tiny_model(settings(**HIDDEN), **sizes).train() for _ in range(2))
    if checkpointing:
        getattr(ours, "activation_checkpointing_enable", ours.gradient_checkpointing_enable)()
    sandwich, inputs = Sandwich(ours, RECIPE), batch(documents(UNEQUAL))
    loss = in_place_loss(sandwich.run(ours, inputs, 1), LABELS, step_loss(None))
    expected = by_hand(theirs, inputs, sandwich.shares(1))
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    for (name, own), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, atol=1e-6, rtol=1e-4, msg=name)


def test_sub_models_learn_from_the_full_one_alone() -> None:
    """The target has no gradient, a sub-model has one, and weights of the documents count in both."""
    full, other = (torch.randn(4, 3, requires_grad=True) for _ in range(2))
    weights = torch.tensor([1.0, 0.0, 2.0, 1.0])
    arguments = {"sample_weight": weights}
    loss = in_place_loss([{"logits": full}, {"logits": other}], LABELS, step_loss(None), None, arguments)
    loss.backward()
    alone = step_loss(None)({"logits": full}, LABELS, None, weights) / 2
    assert full.grad is not None and other.grad is not None
    torch.testing.assert_close(full.grad, torch.autograd.grad(alone, full)[0])
    assert not other.grad[1].any()
    expected = (full.softmax(1) - other.softmax(1)) * -weights.unsqueeze(1) / 4 / 2
    torch.testing.assert_close(other.grad, expected.detach())


def test_labels_of_their_own() -> None:
    """Several labels a document: binary questions, summed over documents and labels and divided by their number."""
    full, other, labels = torch.randn(4, 3), torch.randn(4, 3), torch.eye(4, 3)
    loss = in_place_loss([{"logits": full}, {"logits": other}], labels, step_loss(None, multi_label=True))
    expected = F.binary_cross_entropy_with_logits(full, labels) + F.binary_cross_entropy_with_logits(
        other, full.sigmoid()
    )
    torch.testing.assert_close(loss, expected / 2)


def test_one_classifier_answers_at_many_shares(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same weights at several shares: exact counts, and far better than chance at each; 1 reads all tokens."""
    method, seen = METHODS["length-adaptive"], set[tuple[bool, float]]()
    forward = Layer.forward

    def noted(self: Layer, *inputs: Any) -> Any:
        seen.add((self.training, float(self.share)))
        return forward(self, *inputs)

    monkeypatch.setattr(Layer, "forward", noted)
    data = DataSplits(labelled_documents(96), labelled_documents(30, seed=1))
    recipe = Recipe(learning_rate=3e-3, epochs=8, batch_size=8, max_length=32, length_drop=0.4, floors="none")
    train(base, method.settings, data, tmp_path / "out", recipe)
    assert {share for training, share in seen if not training} == {0.9}, "validated at the share of the settings"
    drawn = {share for training, share in seen if training}
    assert {1.0, 0.6} < drawn and len(drawn) > 50
    assert all(0.6 <= share <= 1 for share in drawn)

    fresh = labelled_documents(60, seed=2)
    texts, truth = [document.text for document in fresh], [document.label for document in fresh]
    weights, answers = [], []
    for keep in (1.0, 0.8, 0.6):
        classifier = tokensieve.load(tmp_path / "out", device="cpu", keep=keep)
        for told in classifier.results(texts[:10]):
            counts = [told.length]
            for _ in told.kept:
                counts.append(max(2, counts[-1] * round(10 * keep) // 10))
            assert told.kept == tuple(counts[1:])
        assert classifier.model.plan(20).flops <= classifier.model.plan(20).dense_flops
        found = classifier.predict(texts)
        assert np.mean([label == right for label, right in zip(found, truth, strict=True)]) > 0.55
        answers.append(classifier.predict_proba(texts))
        weights.append(classifier.model.state_dict())
    assert all(torch.equal(one[name], other[name]) for one, other in pairwise(weights) for name in one)
    assert all(abs(one - other).max() > 1e-4 for one, other in pairwise(answers))


def test_what_it_needs(run: Train) -> None:
    with pytest.raises(ConfigError, match=r"length_drop=0\.2 with settings that prune nothing: give a preset"):
        run(settings={"pruning": "none"}, length_drop=0.2)
    with pytest.raises(ConfigError, match=r"length_drop=0\.2 with pruning_warmup=0\.5: both set the keep shares"):
        Recipe(length_drop=0.2, pruning_warmup=0.5)


def test_the_preset_brings_its_recipe() -> None:
    method = METHODS["length-adaptive"]
    assert Recipe(**method.recipe).length_drop == 0.2
    assert method.settings.shares(3) == (0.9, 0.9, 0.9)
