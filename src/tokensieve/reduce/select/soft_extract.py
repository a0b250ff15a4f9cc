"""Soft extract: the top share, and in training a weight for each rank, whose sum tells the share of a layer.

Source: Goyal et al., "PoWER-BERT: Accelerating BERT Inference via Progressive Word-vector Elimination" (ICML 2020,
arXiv 2001.08950). Differs in that documents have lengths of their own: ranks are relative to the length, and share the
weights of a fixed number of bins. Protected tokens come first in the ranking and have weight 1, as the source protects
[CLS] in the hard extract alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from tokensieve.checks import AT_LEAST_ZERO, Check, whole
from tokensieve.reduce.gate import Gate
from tokensieve.reduce.rows import all_rows, padded_scores
from tokensieve.reduce.select.ranking import ranks
from tokensieve.reduce.select.top_share import TopShare
from tokensieve.tokens import Tokens


@dataclass(frozen=True)
class SoftExtract(TopShare):
    """Keeps max(1, protected, floor(t p)) of t tokens; its gates learn the schedule's shares p.

    In training, between attention and feed-forward of layer l, the token of rank k among n is multiplied by r_l[j] in
    [0, 1], at first 1, with the bin j = floor(k bins / n). The loss gets `penalty` times l times the sum of r_l over
    the bins. Once learned, the mean of r_l is the share of a document's tokens that layer l leaves: it is written into
    the schedule, and top-share takes the place of this selection.

    Attributes:
        min_tokens: minimum number of tokens kept per document, 1 or more.
        bins: number of weights of a layer. With as many as a document has tokens, each rank has its own.
        penalty: lambda, 0 or more. The source tries 1e-4 to 7e-3.
    """

    bins: int = 64
    penalty: float = 1e-3

    name: ClassVar[str] = "soft-extract"
    gated: ClassVar[bool] = True
    checks: ClassVar[Mapping[str, Check]] = {"min_tokens": whole(1), "bins": whole(1, 10_000), "penalty": AT_LEAST_ZERO}

    def gate(self, layer: int, depth: int) -> RankWeights:
        """The weights of a layer's ranks."""
        return RankWeights(self, layer)

    @property
    def learned(self) -> TopShare:
        """The hard extract."""
        return TopShare(self.min_tokens)


class RankWeights(Gate):
    """The weights of the ranks in one layer.

    Args:
        settings: of the selection.
        layer: its number, from 1.
    """

    def __init__(self, settings: SoftExtract, layer: int) -> None:
        super().__init__()
        self.settings, self.layer = settings, layer
        self.retention = nn.Parameter(torch.ones(settings.bins))

    def first_values(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Ones."""
        yield self.retention, torch.ones_like(self.retention)

    @property
    def within(self) -> Tensor:
        """The weights [bins] in [0, 1]; their gradient is that of the parameters, also where these are outside."""
        return self.retention + (self.retention.clamp(0, 1) - self.retention).detach()

    def weigh(self, margins: Tensor, tokens: Tokens, free: Tensor) -> Tensor:
        """The weight of each row's rank in its document."""
        slots, scored = padded_scores(margins.detach().unsqueeze(0), all_rows(tokens), tokens)
        rank = slots.unpad(ranks(scored), 0)[0]
        counts = torch.tensor(tokens.lengths, device=rank.device)
        lengths = counts.repeat_interleave(counts, output_size=len(rank))
        return self.within.index_select(0, rank * self.settings.bins // lengths)

    def penalty(self, weights: Tensor, tokens: Tokens) -> Tensor:
        """Lambda times the number of the layer times the sum of its weights: the same for each document."""
        return (self.settings.penalty * self.layer * self.within.sum()).expand(len(tokens.lengths))

    def between(self, mixed: Tensor, weights: Tensor) -> Tensor:
        """Each row multiplied by its weight."""
        return mixed * weights.unsqueeze(1).to(mixed.dtype)

    @torch.no_grad()
    def project(self) -> None:
        """Back into [0, 1]."""
        self.retention.clamp_(0, 1)

    @property
    def share(self) -> float:
        """The mean of the weights."""
        return float(self.retention.detach().clamp(0, 1).mean())

    def report(self) -> dict[str, float]:
        """The share."""
        return {"share": self.share}
