"""Fitting a bag of words as the first stage: the weights find who is right, and the bound on the loss is kept."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tokensieve.cascade.fit import expected_loss
from tokensieve.cascade.fit_words import FOLDS, cross_fitted, fit_words_first, fusion_weights
from tokensieve.model.probabilities import confidence

SINGLE, SEVERAL = "single_label_classification", "multi_label_classification"


def logits(truth: Tensor, strength: float, seed: int, classes: int = 4) -> Tensor:
    """Noise, with this much more for the true class."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(truth), classes, generator=generator)
    return noise + strength * torch.nn.functional.one_hot(truth, classes)


@pytest.fixture
def truth() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 4, 400))


def right(scores: Tensor, truth: Tensor) -> float:
    return float((scores.argmax(1) == truth).double().mean())


def test_noise_counts_for_nothing(truth: Tensor) -> None:
    words, encoder = fusion_weights(torch.stack([logits(truth, 0, 1), logits(truth, 2, 2)]).double(), truth, SINGLE)
    assert words < 0.15 < encoder


def test_two_independent_stages_are_better_together(truth: Tensor) -> None:
    words, encoder = logits(truth, 2, 1), logits(truth, 2, 2)
    combined = cross_fitted(torch.stack([words, encoder]).double(), truth, SINGLE)
    assert right(combined, truth) > max(right(words, truth), right(encoder, truth)) + 0.03


def test_a_document_has_no_part_in_its_own_weights(truth: Tensor) -> None:
    parts = torch.stack([logits(truth, 1, 1), logits(truth, 1, 2)]).double()
    before = cross_fitted(parts, truth, SINGLE)
    other = truth.clone()
    other[7] = (truth[7] + 1) % 4
    after = cross_fitted(parts, other, SINGLE)
    same = (before == after).all(1)
    assert same[7]
    assert int(same.sum()) == len(truth) // FOLDS, "the documents of its own fifth, whose weights it has no part in"


def test_the_bound_on_the_loss_is_kept_by_the_fewest_documents(truth: Tensor) -> None:
    words, encoder = logits(truth, 2, 1), logits(truth, 3, 2)
    shares = []
    for allowed in (0.0, 0.5, 2.0, 100.0):
        found = fit_words_first(words, encoder, truth, SINGLE, allowed)
        combined = cross_fitted(torch.stack([words, encoder]).double(), truth, SINGLE)
        kept = confidence(words, SINGLE) >= found.settings.defer_below
        lost = 100 * expected_loss(words, combined, SINGLE)[kept].sum() / len(truth)
        assert float(lost) == pytest.approx(found.expected_loss, abs=1e-9)
        assert lost <= allowed
        assert found.share == pytest.approx(1 - float(kept.double().mean()))
        if found.share:
            last = confidence(words, SINGLE)[~kept].argmax()
            one_more = float(lost) + 100 * float(expected_loss(words, combined, SINGLE)[~kept][last]) / len(truth)
            assert one_more > allowed, "one document fewer would lose too much"
        assert torch.equal(found.logits[kept], words[kept])
        assert torch.allclose(found.logits[~kept], combined[~kept].float())
        shares.append(found.share)
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0
    assert shares[0] > 0.5


def test_several_labels_a_document() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = (torch.rand(300, 3, generator=generator) < 0.4).long()
    signs = 2.0 * truth - 1
    words = signs + torch.randn(300, 3, generator=generator)
    encoder = signs + torch.randn(300, 3, generator=generator)
    found = fit_words_first(words, encoder, truth, SEVERAL, 0.0)
    whole = ((found.logits > 0) == (truth == 1)).all(1).double().mean()
    assert whole > ((words > 0) == (truth == 1)).all(1).double().mean() + 0.03


def test_a_handful_of_documents() -> None:
    truth = torch.tensor([0, 1, 0])
    found = fit_words_first(logits(truth, 9, 1), logits(truth, 9, 2), truth, SINGLE, 0.5)
    assert found.share == 0
    assert all(0 < weight < 1000 for weight in (found.settings.words_weight, found.settings.encoder_weight))
    alone = fit_words_first(logits(truth[:1], 1, 1), logits(truth[:1], 1, 2), truth[:1], SINGLE, 0.5)
    assert 0 <= alone.share <= 1


@pytest.mark.parametrize("allowed", [0.0, 0.5, 100.0])
def test_documents_without_a_known_word_are_deferred_however_sure(truth: Tensor, allowed: float) -> None:
    """They lose nothing, so that the others may lose as much as is allowed."""
    words, encoder, always = logits(truth, 2, 1), logits(truth, 3, 2), torch.arange(len(truth)) < 100
    words[always] = torch.tensor([9.0, 0.0, 0.0, 0.0])
    found = fit_words_first(words, encoder, truth, SINGLE, allowed, wordless=always)
    assert torch.equal(found.deferred, always | (confidence(words, SINGLE) < found.settings.defer_below))
    assert found.share == float(found.deferred.double().mean()) >= 0.25
    combined = cross_fitted(torch.stack([words, encoder]).double(), truth, SINGLE)
    wanted = torch.where(found.deferred[:, None], combined, words.double()).float()
    assert torch.equal(found.logits, wanted)
    lost = 100 * expected_loss(words, combined, SINGLE)[~found.deferred].sum() / len(truth)
    assert float(lost) == pytest.approx(found.expected_loss) and found.expected_loss <= allowed
    plain = fit_words_first(words, encoder, truth, SINGLE, allowed)
    assert found.settings.defer_below <= plain.settings.defer_below
