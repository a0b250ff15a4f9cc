"""How many documents are read again, from what it may cost that the others are not.

Where the two readings of a document answer differently, the loss that the first answer is expected to be is the
probability of the second one's less that of the first one's, by the second reading. For that its probabilities are
calibrated on the validation documents; no other document needs a label. The surest documents lose least, so the least
sure are read again, until what the others are expected to lose is no more than what is allowed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.model.classifier import Reading, TokensieveForSequenceClassification
from tokensieve.model.probabilities import class_probabilities, confidence
from tokensieve.training.calibrate import best_temperature
from tokensieve.training.sample import padded

logger = logging.getLogger(__name__)

_BATCH = 32
_ALL = 1 - 1e-9  # a share is below 1, and this one of any number of documents all of them
_DEAR = 0.4
"""Of a share above it the second reading costs about as much as the first one saves."""


class Readings(NamedTuple):
    """Logits [N, C] of some documents by both readings, and their lengths in tokens."""

    first: Tensor
    second: Tensor
    lengths: list[int]

    def with_more(self, other: Readings) -> Readings:
        """Of these documents and others."""
        first, second = torch.cat([self.first, other.first]), torch.cat([self.second, other.second])
        return Readings(first, second, self.lengths + other.lengths)


@torch.no_grad()
def answered(
    model: TokensieveForSequenceClassification,
    documents: TokenizedDocuments,
    rows: Sequence[int],
    tokenizer: Any,
    reading: Reading,
) -> Tensor:
    """Logits [N, C] float32 of some documents, by one reading, as at inference."""
    order, training = sorted(rows, key=lambda row: int(documents.lengths[row])), model.training
    places = {row: place for place, row in enumerate(rows)}
    logits = torch.zeros(len(rows), model.config.num_labels or 0)
    model.train(False)
    for start in range(0, len(order), _BATCH):
        some = order[start : start + _BATCH]
        batch = padded([documents[row] for row in some], tokenizer, model.device)
        logits[[places[row] for row in some]] = model(**batch, reading=reading).logits.float().cpu()
    model.train(training)
    return logits


def read_both_ways(
    model: TokensieveForSequenceClassification, documents: TokenizedDocuments, tokenizer: Any
) -> Readings:
    """All of the documents."""
    rows = range(len(documents))
    first = answered(model, documents, rows, tokenizer, "first")
    return Readings(first, answered(model, documents, rows, tokenizer, "second"), documents.lengths.tolist())


def fit_share(
    model: TokensieveForSequenceClassification,
    judged: Readings,
    truth: Any,
    others: Readings,
    allowed: float,
) -> tuple[Readings, float]:
    """Set the share of the model's settings (`reread`) to the smallest that keeps the expected loss as allowed; one
    document is read again in any case.

    Args:
        model: gets it, in its config.
        judged: the validation documents.
        truth: their class ids [N], or 0/1 labels [N, C].
        others: documents without labels.
        allowed: points of accuracy (of several labels, of documents with all of them right).

    Returns:
        All documents that it was fitted to; and what those of them that are not read again are expected to lose, in
        points.
    """
    kind = model.config.problem_type
    several = kind == "multi_label_classification"
    true = torch.as_tensor(truth)
    temperature = best_temperature(judged.second, true.float() if several else true.long(), multi_label=several)
    readings = judged.with_more(others)
    pruned = torch.tensor(model.encoder.pruned(readings.lengths))
    lost = expected_loss(readings.first, readings.second, kind, temperature)[pruned]
    order = confidence(readings.first, kind)[pruned].argsort(stable=True)
    if not len(order):
        return readings, 0.0
    # What those after each of them lose, summed from the last one on: where none does, it is exactly 0.
    left = 100 * torch.cat([lost[order].flip(0).cumsum(0).flip(0)[1:], lost.new_zeros(1)]) / len(readings.lengths)
    again = int((left <= allowed).nonzero()[0]) + 1
    share = min(again / len(order), _ALL)
    if share > _DEAR:
        logger.warning(
            "reread_loss=%g: %.0f %% of the documents have to be read again for it, which costs about what pruning "
            "saves: prune less, or allow more",
            allowed,
            100 * share,
        )
    model.config.ptc = replace(model.settings, reread=share).to_dict()
    return readings, float(left[again - 1])


def expected_loss(first: Tensor, second: Tensor, problem_type: str | None, temperature: float = 1.0) -> Tensor:
    """How much less likely the first reading's answers are right than the second one's, by the latter's probabilities:
    [N] float64, 0 where both are the same.

    Args:
        first: logits [N, C].
        second: logits [N, C].
        problem_type: as in transformers' configs; of several labels all have to be right, each at probability 0.5.
        temperature: divides the second reading's logits.
    """
    probabilities = class_probabilities(second.double(), problem_type, temperature).double()
    if problem_type == "multi_label_classification":
        right = [torch.where(own > 0, probabilities, 1 - probabilities).prod(1) for own in (second, first)]
    else:
        right = [probabilities.gather(1, own.argmax(1, keepdim=True)).squeeze(1) for own in (second, first)]
    return (right[0] - right[1]).clamp(min=0)
