"""FLOPs of the documents of a cell, of each at its own length and without padding."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import torch

from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.flops import dense_flops
from tokensieve.model.plan import make_plan

if TYPE_CHECKING:
    from tokensieve.bench.work import Work


@dataclass(frozen=True)
class Flops:
    """Means over the documents of a cell.

    Attributes:
        own: of the subject.
        dense: of the same backbone with nothing reduced.
        basis: "exact", or "measured" where the counts depend on the scores.
    """

    own: float
    dense: float
    basis: str


def dense_cost(config: TokensieveConfig, work: Work) -> Flops:
    """Of the backbone."""
    of_length = {length: dense_flops(config, length) for length in set(work.lengths)}
    dense = fmean(of_length[length] for length in work.lengths)
    return Flops(dense, dense, "exact")


def reduced_cost(model: TokensieveForSequenceClassification, backbone: TokensieveConfig, work: Work) -> Flops:
    """Of a model of ours, made of a backbone: by its plan, or if that has bounds alone by the tokens kept."""
    dense = dense_cost(backbone, work).dense
    plans = {length: make_plan(model.config, length) for length in set(work.lengths)}
    if all(plan.basis == "exact" for plan in plans.values()):
        return Flops(fmean(plans[length].flops for length in work.lengths), dense, "exact")
    own = []
    for batch in work.batches("sorted"):
        with torch.inference_mode():  # the plan counts the second reading
            trace = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, reading="first").trace
        for row, place in enumerate(batch.documents):
            length = len(work.ids[place])
            shares = [step[row] / length for step in trace.kept]
            own.append(make_plan(model.config, length, shares=shares).flops)
    return Flops(fmean(own), dense, "measured")
