"""Logits -> probabilities, with the temperature of calibration; one rule for inference and for calibration."""

from __future__ import annotations

import torch
from torch import Tensor


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
