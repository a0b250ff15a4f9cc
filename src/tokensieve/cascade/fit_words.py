"""Fitting a bag of words as the first stage to validation documents: the weights of both answers, and when to defer.

1. The weights of bag and encoder minimise the loss of the combined answer.
2. Each fifth of the documents gets its combined answer by weights that were fitted to the others. So a stage that
   happens to fit these documents counts for no more than it is worth.
3. The expected loss of the bag's answer is how much less probable it is than the combined answer, by the latter. The
   documents of the least confidence are deferred, as many as keep the expected loss of the others within the bound.
   Documents without a known word are deferred in any case, as `WordsFirst.answer` does.

Neither stage was trained on the documents. Other rules were compared with this one on validation documents
(docs/log/2026-11-29.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.cascade.fit import confidence_above, expected_loss, loss_left
from tokensieve.cascade.words_first import WordsFirstSettings
from tokensieve.model.probabilities import confidence, weighted_sum

FOLDS = 5
_START = 0.5
"""Weight of each answer before any document is seen: their mean."""


@dataclass(frozen=True)
class FittedWordsFirst:
    """The rule of a first stage, and what is expected of it.

    Attributes:
        settings: the rule.
        deferred: which documents are deferred, [N] bool.
        expected_loss: points of accuracy that the others are expected to lose.
        logits: [N, C] of the documents by the whole cascade, cross-fitted.
    """

    settings: WordsFirstSettings
    deferred: Tensor
    expected_loss: float
    logits: Tensor

    @property
    def share(self) -> float:
        """The share of the documents that is deferred."""
        return float(self.deferred.double().mean())


def fit_words_first(
    words: Tensor,
    encoder: Tensor,
    truth: Tensor,
    problem_type: str | None,
    allowed: float,
    sample_weight: Tensor | None = None,
    wordless: Tensor | None = None,
) -> FittedWordsFirst:
    """Fit the first stage to labelled documents that neither stage was trained on.

    Args:
        words: logits [N, C] of the bag of words, calibrated.
        encoder: logits [N, C] of the encoder, or of all stages after the first, calibrated.
        truth: class ids [N], or 0 and 1 [N, C].
        problem_type: as in transformers' configs.
        allowed: points of accuracy (for multi-label models, of documents with all labels right) that may be lost.
        sample_weight: of the documents [N], in the loss and in the points; in the share, which is a cost, each counts
            once. None: each counts once everywhere.
        wordless: which documents have no known word, [N] bool; None: each has one.
    """
    parts = torch.stack([words, encoder]).double()
    words_weight, encoder_weight = fusion_weights(parts, truth, problem_type, sample_weight)
    combined = cross_fitted(parts, truth, problem_type, sample_weight)
    counts = torch.ones(len(words)).double() if sample_weight is None else sample_weight.double()
    sure = confidence(words, problem_type)
    always = torch.zeros(len(words), dtype=torch.bool) if wordless is None else wordless
    order = sure[~always].argsort(stable=True)
    lost = (counts * expected_loss(words, combined, problem_type))[~always]
    left = 100 * loss_left(lost[order]) / counts.sum()
    number = int((left <= allowed).nonzero()[0])
    below = confidence_above(sure[~always][order].double(), number)
    deferred = always | (sure < below)
    return FittedWordsFirst(
        settings=WordsFirstSettings(below, words_weight, encoder_weight),
        deferred=deferred,
        expected_loss=float(left[number]),
        logits=torch.where(deferred[:, None], combined, words.double()).float(),
    )


def fusion_weights(
    parts: Tensor, truth: Tensor, problem_type: str | None, sample_weight: Tensor | None = None
) -> tuple[float, ...]:
    """The weights, 0 or more, by which the sum of calibrated logits has the lowest negative log-likelihood.

    The likelihood has one term more, which pulls each weight to a half as one document would: it settles what a few
    documents cannot, and is lost among many.

    Args:
        parts: logits [S, N, C] of S stages.
        truth: class ids [N], or 0 and 1 [N, C].
        problem_type: as in transformers' configs.
        sample_weight: of the documents [N]; None: each counts once.
    """
    from scipy.optimize import minimize

    multi_label = problem_type == "multi_label_classification"
    target = truth.double() if multi_label else truth.long()
    loss = F.binary_cross_entropy_with_logits if multi_label else F.cross_entropy

    def objective(given: Any) -> tuple[float, Any]:
        weights = torch.tensor(given, requires_grad=True)
        likelihood = weighted_sum(loss, torch.tensordot(weights, parts, 1), target, sample_weight)
        total = likelihood + ((weights - _START) ** 2).sum()
        total.backward()
        assert weights.grad is not None
        return total.item(), weights.grad.numpy()

    with torch.enable_grad():
        found = minimize(objective, [_START] * len(parts), jac=True, method="L-BFGS-B", bounds=[(0, 1e3)] * len(parts))
    return tuple(float(weight) for weight in found.x)


def cross_fitted(parts: Tensor, truth: Tensor, problem_type: str | None, sample_weight: Tensor | None = None) -> Tensor:
    """The combined logits [N, C] float64 of each document, by weights that were fitted without it.

    Args:
        parts: as in `fusion_weights`.
        truth: as there.
        problem_type: as there.
        sample_weight: as there.
    """
    number = parts.shape[1]
    combined = torch.zeros_like(parts[0])
    fold = torch.from_numpy(np.random.default_rng(0).permutation(number) % FOLDS)
    for own in fold.unique():
        others = fold != own
        counts = None if sample_weight is None else sample_weight[others]
        weights = fusion_weights(parts[:, others], truth[others], problem_type, counts)
        combined[~others] = torch.tensordot(torch.tensor(weights).double(), parts[:, ~others], 1)
    return combined
