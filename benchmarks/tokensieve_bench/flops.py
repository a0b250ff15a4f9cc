"""FLOPs of the documents of a cell, of each at its own length and without padding."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

import torch

from tokensieve.cascade.build import EncoderClassifier, stages_of
from tokensieve.cascade.plan import plan_of
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.flops import dense_flops
from tokensieve_bench.work import Work


@dataclass(frozen=True)
class Flops:
    """Means over the documents of a cell.

    Attributes:
        own: of the contender.
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


def reduced_cost(model: EncoderClassifier, backbone: TokensieveConfig, work: Work) -> Flops:
    """Of a model of ours, made of a backbone: by its plan, or if that has bounds alone by the tokens kept."""
    dense = dense_cost(backbone, work).dense
    plans = {length: plan_of(model.config, length) for length in set(work.lengths)}
    if all(plan.basis == "exact" for plan in plans.values()):
        return Flops(fmean(plans[length].flops for length in work.lengths), dense, "exact")
    own = []
    for batch in work.batches("sorted"):
        with torch.inference_mode():  # the plan counts the second stage
            trace = stages_of(model)[0](input_ids=batch.input_ids, attention_mask=batch.attention_mask).trace
        for row, place in enumerate(batch.documents):
            length = len(work.ids[place])
            shares = [step[row] / length for step in trace.kept]
            own.append(plan_of(model.config, length, shares=shares).flops)
    return Flops(fmean(own), dense, "measured")
