"""Fitting a cascade to validation documents: the confidence below which it defers, and the share that it has to defer.

The expected loss of a document is the probability of the second stage's answer minus that of the first stage's answer,
both by the second stage, whose probabilities are calibrated for this. It is 0 where the answers agree. The least
confident documents lose most. As many of them are deferred as keep the expected loss of the others within the bound.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tokensieve.cascade.classifier import TokensieveCascadeForSequenceClassification
from tokensieve.config import Deferral
from tokensieve.model.probabilities import class_probabilities, confidence

logger = logging.getLogger(__name__)

_ALL = 1 - 1e-9  # a share has to be below 1; this one defers all documents, however many there are
_DEAR = 0.4
"""A larger share costs about as much in the second stage as the first one saves."""


class BothStages(NamedTuple):
    """Logits [N, C] of some documents by both stages, their lengths in tokens, and their weights [N].

    Without weights each document counts once.
    """

    first: Tensor
    second: Tensor
    lengths: list[int]
    weights: Tensor | None = None

    def counts(self) -> Tensor:
        """How much each document counts, [N] float64."""
        return torch.ones(len(self.lengths), dtype=torch.float64) if self.weights is None else self.weights.double()

    def with_more(self, other: BothStages) -> BothStages:
        """Concatenate with the logits of other documents."""
        first, second = torch.cat([self.first, other.first]), torch.cat([self.second, other.second])
        return BothStages(first, second, self.lengths + other.lengths, torch.cat([self.counts(), other.counts()]))


def fit_defer(model: Any, logits: Any, lengths: Sequence[int], trained: bool) -> dict[str, float] | None:
    """Fit `defer_below` of a cascade, so that it defers the share of documents that its settings ask for.

    Args:
        model: a cascade, whose config gets the confidence; or a model alone, which defers nothing.
        logits: [N, C], tensor or array, by the first stage.
        lengths: tokens of each document. Only documents that are pruned count.
        trained: whether the weights were trained further: then the second stage has no norms and last layer of its own.

    Returns:
        "below", the confidence, and "documents", how many it was fitted to; None for a model alone.
    """
    if not isinstance(model, TokensieveCascadeForSequenceClassification):
        return None
    if trained:
        model.share_everything()
    pruned = torch.tensor(model.first.encoder.pruned(lengths))
    sure = confidence(torch.as_tensor(logits), model.config.problem_type).cpu()[pruned].sort().values
    deferred = round(model.settings.deferred * len(sure))
    model.config.defer_below = confidence_above(sure, deferred)
    return {"below": model.config.defer_below, "documents": len(sure)}


def fit_share(
    model: TokensieveCascadeForSequenceClassification, answers: BothStages, temperature: float, allowed: float
) -> float:
    """Set the share that a cascade defers to the smallest one with which the expected loss is allowed.

    At least one document is deferred. The expected loss is a weighted mean. The share is a cost, so that each document
    counts once in it.

    Args:
        model: its config gets the share.
        answers: logits of the documents that it is fitted to.
        temperature: calibrates the second stage.
        allowed: points of accuracy (for multi-label models, of documents with all labels right).

    Returns:
        The expected loss of the documents that are not deferred, in points of all documents.
    """
    kind = model.config.problem_type
    pruned = torch.tensor(model.first.encoder.pruned(answers.lengths))
    counts = answers.counts()
    lost = (counts * expected_loss(answers.first, answers.second, kind, temperature))[pruned]
    order = confidence(answers.first, kind)[pruned].argsort(stable=True)
    if not len(order):
        return 0.0
    left = 100 * loss_left(lost[order]) / counts.sum()
    deferred = int((left[1:] <= allowed).nonzero()[0]) + 1
    share = min(deferred / len(order), _ALL)
    if share > _DEAR:
        logger.warning(
            "max_expected_loss=%g: %.0f %% of the documents have to be deferred for it, which costs about what pruning "
            "saves: prune less, or allow more",
            allowed,
            100 * share,
        )
    defer = replace(model.settings.defer or Deferral(), share=share)
    model.config.reduction = replace(model.settings, defer=defer).to_dict()
    return float(left[deferred])


def confidence_above(sure: Tensor, deferred: int) -> float:
    """The confidence half-way between the last document that is deferred and the next one; 0 if none is.

    Args:
        sure: confidences [N], sorted, the least first.
        deferred: so many documents are to be below it.
    """
    bounds = torch.cat([sure.new_zeros(1), sure, sure.new_ones(1)])
    return float(bounds[deferred : deferred + 2].mean()) if deferred else 0.0


def loss_left(lost: Tensor) -> Tensor:
    """The sum of the losses of the documents that are not deferred, if the first k are, [N + 1] for k from 0 to N.

    Args:
        lost: [N], in the order in which documents are deferred.
    """
    # Summed from the last one on, so that it is exactly 0 if none loses.
    return torch.cat([lost.flip(0).cumsum(0).flip(0), lost.new_zeros(1)])


def expected_loss(first: Tensor, second: Tensor, problem_type: str | None, temperature: float = 1.0) -> Tensor:
    """Expected loss of the first stage's answers, [N] float64.

    It is how much less probable they are than the second stage's answers, by the second stage; 0 where both are the
    same.

    Args:
        first: logits [N, C].
        second: logits [N, C].
        problem_type: as in transformers' configs; a multi-label answer is right if every label is, at probability 0.5.
        temperature: divides the second stage's logits.
    """
    probabilities = class_probabilities(second.double(), problem_type, temperature).double()
    if problem_type == "multi_label_classification":
        right = [torch.where(logits > 0, probabilities, 1 - probabilities).prod(1) for logits in (second, first)]
    else:
        right = [probabilities.gather(1, logits.argmax(1, keepdim=True)).squeeze(1) for logits in (second, first)]
    return (right[0] - right[1]).clamp(min=0)
