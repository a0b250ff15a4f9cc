"""Calibration: the temperature that a sample was drawn with, thresholds by brute force, and what no sample tells."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score
from torch import Tensor

from contract.variants import model_config, settings
from tokensieve import ConfigError, DataError, TokensieveConfig, TrainingError
from tokensieve.model.probabilities import best_temperature
from tokensieve.training.fits.calibration import Calibration, best_thresholds, calibrate

KINDS = pytest.mark.parametrize("multi_label", [False, True], ids=["single-label", "multi-label"])


def drawn(count: int, temperature: float, multi_label: bool, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits [count, 4], and a truth drawn from their probabilities at `temperature`."""
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(count, 4, generator=generator)
    if multi_label:
        return logits, torch.bernoulli((logits / temperature).sigmoid(), generator=generator)
    return logits, torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator).squeeze(1)


def likelihood(logits: Tensor, truth: Tensor, temperature: float) -> float:
    """Mean negative log-likelihood."""
    scaled = logits.double() / temperature
    if truth.ndim == 2:
        return float(F.binary_cross_entropy_with_logits(scaled, truth.double()))
    return float(F.cross_entropy(scaled, truth))


@KINDS
@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_of_the_sample_is_found(temperature: float, multi_label: bool) -> None:
    logits, truth = drawn(4000, temperature, multi_label)
    found = best_temperature(logits, truth, multi_label=multi_label)
    assert found == pytest.approx(temperature, rel=0.1)
    grid = np.geomspace(0.05, 20, 2000)
    least = min(likelihood(logits, truth, t) for t in grid)
    assert likelihood(logits, truth, found) <= least + 1e-6, "with many documents it is the minimum"


@KINDS
@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_no_temperature_is_worse_than_one(count: int, multi_label: bool) -> None:
    for seed in range(20):
        logits, truth = drawn(count, 2.0, multi_label, seed)
        found = best_temperature(logits, truth, multi_label=multi_label)
        assert likelihood(logits, truth, found) <= likelihood(logits, truth, 1.0) + 1e-9
        assert 0.05 < found < 20, "a few documents are no reason for extremes"


@KINDS
@pytest.mark.parametrize("scale", [0.0, 0.1, 5.0, 1e4])
def test_documents_that_are_all_right_do_not_make_it_certain(scale: float, multi_label: bool) -> None:
    truth = torch.arange(50) % 4
    logits = scale * (2 * F.one_hot(truth, 4).float() - 1)
    result = calibrate(logits, F.one_hot(truth, 4) if multi_label else truth, multi_label=multi_label)
    assert result.temperature <= 1
    assert scale / result.temperature <= max(scale, 10), "fifty documents are no reason for a probability of 1"
    assert np.isfinite([result.ece_before, result.ece_after]).all()


@KINDS
def test_documents_that_are_all_wrong_make_it_unsure(multi_label: bool) -> None:
    truth = torch.arange(50) % 4
    logits = 10 * F.one_hot((truth + 1) % 4, 4).float()
    found = best_temperature(logits, F.one_hot(truth, 4).float() if multi_label else truth, multi_label=multi_label)
    assert 3 < found < 100


@KINDS
def test_a_calibration_lowers_the_error_of_a_model_too_sure_of_itself(multi_label: bool) -> None:
    logits, truth = drawn(3000, 3.0, multi_label)
    result = calibrate(logits, truth, multi_label=multi_label)
    assert result.ece_before > 0.1
    assert result.ece_after < 0.03
    assert result.documents == 3000
    other, other_truth = drawn(3000, 3.0, multi_label, seed=1)
    assert likelihood(other, other_truth, result.temperature) < likelihood(other, other_truth, 1.0)
    assert (result.thresholds is not None) == multi_label


@KINDS
def test_arrays_and_tensors_say_the_same(multi_label: bool) -> None:
    logits, truth = drawn(200, 2.0, multi_label)
    expected = calibrate(logits, truth, multi_label=multi_label)
    assert calibrate(logits.numpy(), truth.numpy(), multi_label=multi_label) == expected
    assert calibrate(logits.numpy(), truth.tolist(), multi_label=multi_label) == expected
    assert calibrate(logits.double().requires_grad_(), truth, multi_label=multi_label) == expected


def f1_at(threshold: float, probabilities: Tensor, truth: Tensor) -> float:
    given = (probabilities.double() >= threshold).int()
    return float(f1_score(truth.int(), given, zero_division=0))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [4, 30, 200])
def test_thresholds_are_the_best_there_are(count: int, seed: int) -> None:
    logits, truth = drawn(count, 3.0, True, seed)
    probabilities = (logits / 2).round().sigmoid()  # with ties
    for i, threshold in enumerate(best_thresholds(probabilities, truth)):
        if len(truth[:, i].unique()) < 2:
            assert threshold == 0.5
            continue
        values = sorted({0.0, 1.0, *probabilities[:, i].tolist()})
        tried = [0.0, *((low + high) / 2 for low, high in pairwise(values)), 1.0]
        best = max(f1_at(other, probabilities[:, i], truth[:, i]) for other in tried)
        assert f1_at(threshold, probabilities[:, i], truth[:, i]) == pytest.approx(best)
        assert threshold not in values, "half-way between, not at one"


def test_thresholds_by_hand() -> None:
    probabilities = torch.tensor(
        [[0.1, 0.9, 0.2, 0.3, 0.4], [0.2, 0.8, 0.7, 0.3, 0.6], [0.6, 0.3, 0.7, 0.3, 0.8], [0.9, 0.2, 0.8, 0.3, 0.9]]
    )
    truth = torch.tensor([[0, 1, 0, 1, 0], [0, 1, 1, 0, 0], [0, 1, 0, 1, 0], [1, 0, 1, 0, 0]])
    found = best_thresholds(probabilities, truth)
    # apart at 0.75; apart at 0.25; the tie at 0.7 stays whole; one probability for all; true of none
    assert found == pytest.approx((0.75, 0.25, 0.45, 0.15, 0.5), abs=1e-6)


def test_a_label_true_of_all_keeps_the_half() -> None:
    assert best_thresholds(torch.tensor([[0.1], [0.2]]), torch.ones(2, 1)) == (0.5,)


def test_thresholds_are_for_the_calibrated_probabilities() -> None:
    logits, truth = drawn(500, 4.0, True)
    result = calibrate(logits, truth, multi_label=True)
    assert result.temperature > 2
    assert result.thresholds == best_thresholds((logits / result.temperature).sigmoid(), truth)


def test_a_single_label_of_many_documents() -> None:
    logits = torch.tensor([[-2.0], [-1.0], [1.0], [3.0]])
    result = calibrate(logits, torch.tensor([[0], [0], [1], [1]]), multi_label=True)
    assert result.thresholds == pytest.approx((0.5,))


def test_the_config_keeps_it(tmp_path: Path) -> None:
    config = model_config(settings(), problem_type="multi_label_classification", num_labels=3)
    calibration = Calibration(1.7, (0.2, 0.5, 0.9), 0.2, 0.1, 40)
    assert json.loads(json.dumps(calibration.to_dict())) == {
        "temperature": 1.7,
        "thresholds": [0.2, 0.5, 0.9],
        "ece_before": 0.2,
        "ece_after": 0.1,
        "documents": 40,
    }
    calibration.apply(config)
    config.save_pretrained(tmp_path)
    loaded = TokensieveConfig.from_pretrained(tmp_path)
    assert (loaded.calibration_temperature, loaded.thresholds) == (1.7, [0.2, 0.5, 0.9])


def test_thresholds_that_are_not_the_models() -> None:
    with pytest.raises(ConfigError, match="3 labels"):
        Calibration(1.0, (0.5, 0.5), 0, 0, 1).apply(model_config(settings(), problem_type="multi_label_classification"))
    with pytest.raises(ConfigError, match="multi-label"):
        Calibration(1.0, (0.5,) * 3, 0, 0, 1).apply(model_config(settings()))


REFUSED: dict[str, tuple[Any, Any, bool]] = {
    "no document": (torch.empty(0, 3), torch.empty(0, dtype=torch.long), False),
    "no class": (torch.empty(3, 0), torch.zeros(3, dtype=torch.long), False),
    "flat logits": (torch.zeros(3), torch.zeros(3, dtype=torch.long), False),
    "fewer truths": (torch.zeros(3, 2), torch.zeros(2, dtype=torch.long), False),
    "no truth": (torch.zeros(3, 2), torch.empty(0, dtype=torch.long), False),
    "a class too many": (torch.zeros(3, 2), torch.tensor([0, 1, 2]), False),
    "a class below": (torch.zeros(3, 2), torch.tensor([0, 1, -100]), False),
    "ids for multi-label": (torch.zeros(3, 2), torch.tensor([0, 1, 1]), True),
    "a matrix for single label": (torch.zeros(3, 2), torch.zeros(3, 2), False),
    "a half truth": (torch.zeros(3, 2), torch.full((3, 2), 0.5), True),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_calibrated(name: str) -> None:
    logits, truth, multi_label = REFUSED[name]
    with pytest.raises(DataError, match="calibration takes"):
        calibrate(logits, truth, multi_label=multi_label)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_of_a_diverged_model(value: float) -> None:
    with pytest.raises(TrainingError, match="diverged"):
        calibrate(torch.tensor([[0.0, value]]), torch.tensor([0]), multi_label=False)
