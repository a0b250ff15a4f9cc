"""Calibration on validation logits: one temperature for the model, and for multi-label models a threshold a label."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tokensieve.errors import DataError, TrainingError
from tokensieve.metrics import expected_calibration_error
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.probabilities import best_temperature, class_probabilities

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Calibration:
    """The result of a calibration.

    Attributes:
        temperature: logits are divided by it; above 1 where the model was too sure of itself.
        thresholds: multi-label: the probability from which each label is given; None for single-label models.
        ece_before: expected calibration error on the validation documents at temperature 1.
        ece_after: the same at `temperature`; measured on the documents that it was chosen on.
        documents: validation documents.
    """

    temperature: float
    thresholds: tuple[float, ...] | None
    ece_before: float
    ece_after: float
    documents: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self) | {"thresholds": None if self.thresholds is None else list(self.thresholds)}

    def apply(self, config: TokensieveConfig) -> None:
        """Write temperature and thresholds to a model's config, which the engine reads.

        Raises:
            ConfigError: thresholds for another number of labels, or for a model that is not multi-label.
        """
        config.calibration_temperature = self.temperature
        config.thresholds = None if self.thresholds is None else list(self.thresholds)
        config.check_calibration()


def calibrate(
    logits: Tensor | np.ndarray,
    truth: Tensor | np.ndarray | list[int],
    *,
    multi_label: bool,
    weights: Tensor | np.ndarray | None = None,
) -> Calibration:
    """Temperature, and for multi-label models thresholds on the probabilities at that temperature.

    Args:
        logits: [N, C] of the validation documents, N > 0.
        truth: class ids [N], or 0/1 [N, C] for multi-label models.
        multi_label: probabilities are a sigmoid for each label, not a softmax over the classes.
        weights: of the documents [N], 0 or more; None: each counts once.

    Raises:
        DataError: no documents, or a truth that does not fit the logits.
        TrainingError: logits that are no finite numbers.
    """
    scores, true = torch.as_tensor(logits).detach().float().cpu(), torch.as_tensor(truth).detach().cpu()
    true = true.float() if multi_label else true.long()
    _check(scores, true, multi_label)
    kind = "multi_label_classification" if multi_label else "single_label_classification"
    counts = None if weights is None else torch.as_tensor(weights).double().cpu()
    temperature = best_temperature(scores, true, multi_label=multi_label, weights=counts)
    before, after = (class_probabilities(scores, kind, t) for t in (1.0, temperature))
    return Calibration(
        temperature=temperature,
        thresholds=best_thresholds(after, true, counts) if multi_label else None,
        ece_before=expected_calibration_error(before, true, weights=counts),
        ece_after=expected_calibration_error(after, true, weights=counts),
        documents=len(scores),
    )


def calibrate_model(config: TokensieveConfig, logits: Any, truth: Any, weights: Any = None) -> dict[str, Any] | None:
    """Calibrate on the logits of the validation documents, and write the result to the model's config.

    Args:
        config: gets temperature and thresholds.
        logits: as in `calibrate`; None without validation.
        truth: as in `calibrate`.
        weights: as in `calibrate`.

    Returns:
        The calibration as JSON-ready values; None without validation.
    """
    if logits is None:
        return None
    multi_label = config.problem_type == "multi_label_classification"
    calibration = calibrate(logits, truth, multi_label=multi_label, weights=weights)
    calibration.apply(config)
    return calibration.to_dict()


def best_thresholds(probabilities: Tensor, truth: Tensor, weights: Any = None) -> tuple[float, ...]:
    """For each label the threshold with the highest F1, half-way between neighbouring probabilities.

    Of several that are as good, the one nearest to 0.5; a label that is true of none or of all keeps 0.5.

    Args:
        probabilities: [N, C].
        truth: 0/1 [N, C].
        weights: of the documents [N], 0 or more; None: each counts once.
    """
    if weights is not None:
        weights = torch.as_tensor(weights)
        there = weights > 0
        probabilities, truth, weights = probabilities[there], truth[there], weights[there].numpy()
    return tuple(_best_threshold(probabilities[:, i], truth[:, i], weights) for i in range(truth.shape[1]))


def _best_threshold(probabilities: Tensor, truth: Tensor, weights: Any) -> float:
    import numpy as np
    from sklearn.metrics import precision_recall_curve

    if len(truth.unique()) < 2:
        return 0.5
    scores = probabilities.double().numpy()
    precision, recall, cuts = precision_recall_curve(truth.numpy(), scores, sample_weight=weights)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    middles = (cuts + np.concatenate([[0.0], cuts[:-1]])) / 2
    best = np.flatnonzero(f1[:-1] >= f1[:-1].max() - 1e-12)
    return float(min(middles[best], key=lambda middle: abs(middle - 0.5)))


def _check(logits: Tensor, truth: Tensor, multi_label: bool) -> None:
    if logits.ndim != 2 or not logits.numel():
        raise DataError(f"calibration takes logits [N, C] of one document or more, not {list(logits.shape)}")
    shape, ids = (logits.shape, 2) if multi_label else (logits.shape[:1], logits.shape[1])
    if truth.shape != shape or not torch.isin(truth, torch.arange(ids, dtype=truth.dtype)).all():
        what = "0 or 1" if multi_label else f"class ids 0 to {ids - 1}"
        raise DataError(
            f"calibration takes {what} in the shape {list(shape)} beside logits {list(logits.shape)}, not "
            f"{list(truth.shape)} with the values {truth.unique()[:5].tolist()}"
        )
    if not logits.isfinite().all():
        raise TrainingError("validation logits hold NaN or infinity: training diverged; lower the learning rate")
