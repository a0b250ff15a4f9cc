"""Logits -> probabilities, with the temperature of calibration; one rule for inference and for calibration."""

from __future__ import annotations

from torch import Tensor


def class_probabilities(logits: Tensor, problem_type: str | None, temperature: float = 1.0) -> Tensor:
    """Probabilities [N, C] float32: softmax over the classes, or a sigmoid each for multi-label models.

    Args:
        logits: [N, C].
        problem_type: as in transformers' configs.
        temperature: divides the logits; above 1 the probabilities are less sure.
    """
    scaled = logits.float() / temperature
    return scaled.sigmoid() if problem_type == "multi_label_classification" else scaled.softmax(-1)
