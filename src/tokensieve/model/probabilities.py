"""Logits -> probabilities, with the temperature of calibration; one rule for inference and for calibration."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

_COLDEST, _HOTTEST = 0.01, 100.0


def class_probabilities(logits: Tensor, problem_type: str | None, temperature: float = 1.0) -> Tensor:
    """Probabilities [N, C] float32: softmax over the classes, or a sigmoid each for multi-label models.

    Args:
        logits: [N, C].
        problem_type: as in transformers' configs.
        temperature: divides the logits; above 1 it makes probabilities less extreme.
    """
    scaled = logits.float() / temperature
    return scaled.sigmoid() if problem_type == "multi_label_classification" else scaled.softmax(-1)


def confidence(logits: Tensor, problem_type: str | None) -> Tensor:
    """Confidence of each answer, [N] float32: its largest probability (Hendrycks and Gimpel 2017).

    A multi-label answer is as confident as the least sure of its decisions, each made at probability 0.5. A number
    (regression) has confidence 1.

    Args:
        logits: [N, C], not calibrated.
        problem_type: as in transformers' configs.
    """
    if problem_type == "regression" or (logits.shape[-1] == 1 and problem_type is None):
        return logits.new_ones(len(logits), dtype=torch.float32)
    probabilities = class_probabilities(logits, problem_type)
    if problem_type == "multi_label_classification":
        return torch.maximum(probabilities, 1 - probabilities).amin(-1)
    return probabilities.amax(-1)


def best_temperature(logits: Tensor, truth: Tensor, *, multi_label: bool, weights: Tensor | None = None) -> float:
    """The temperature that minimises the negative log-likelihood (Guo et al. 2017, section 4.2); never worse than 1.

    Documents that are all classified right would ask for temperature 0, that is, for certainty. So the sum over the
    documents has one term more, log(T)^2 / 2 (a log-normal prior): it settles what a few documents cannot, and is lost
    among many.

    Args:
        logits: [N, C].
        truth: class ids [N], or 0/1 [N, C] for multi-label.
        multi_label: the likelihood is that of a sigmoid for each label.
        weights: of the documents [N]; None: each counts once.

    Returns:
        A number in [0.01, 100].
    """
    from scipy.optimize import minimize_scalar

    exact = logits.double()
    target = truth.double() if multi_label else truth
    loss = F.binary_cross_entropy_with_logits if multi_label else F.cross_entropy

    def objective(log_temperature: float) -> float:
        likelihood = weighted_sum(loss, exact / math.exp(log_temperature), target, weights)
        return float(likelihood) + log_temperature**2 / 2

    bounds = (math.log(_COLDEST), math.log(_HOTTEST))
    result = minimize_scalar(objective, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return math.exp(result.x) if result.fun < objective(0.0) else 1.0


def weighted_sum(loss: Callable[..., Tensor], logits: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
    """The sum of a loss over documents.

    Args:
        loss: of `torch.nn.functional`, with a `reduction`.
        logits: [N, C].
        target: what the loss takes beside them.
        weights: of the documents [N]; None: each counts once.
    """
    if weights is None:
        return loss(logits, target, reduction="sum")
    each = loss(logits, target, reduction="none")
    return ((each if each.dim() == 1 else each.sum(1)) * weights.to(each)).sum()
