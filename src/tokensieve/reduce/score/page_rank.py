"""Page rank: a token is important if important tokens attend to it; of those that leave, some leave as near copies.

Source: Zero-TPrune (Wang, Dedhia, Jha, CVPR 2024), weighted page rank over the attention graph, the root mean square
over heads, the filter of heads by variance, and the order I', S, I of its stages. Needs no training. What the source
leaves open is a setting, or stands in docs/methods/zero-tprune.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.checks import BOOLEAN, SHARE, Check, is_number, is_whole, list_of, one_of
from tokensieve.kernels.cosines import cosines
from tokensieve.kernels.graph import Votes
from tokensieve.reduce.contract import Linked, Score, ScoredLayer
from tokensieve.reduce.schedule import exact_ratio

Heads = Literal["rms", "mean", "entropy"]
Partition = Literal["sequential", "important", "alternate"]

_ROUND = Check(lambda rounds: is_whole(rounds, 1, 1000), "give a whole number of 1 to 1000")
_VARIANCE = Check(lambda variance: is_number(variance) and variance >= 0, "give a number of 0 or more")


@dataclass(frozen=True)
class PageRank(Score):
    """Weighted page rank, with the similarity stage ahead of it where `similar` is above 0.

    Attributes:
        rounds: rounds of votes in the first quarter of the layers, in the second and third, and in the last one.
        emphasis: at first [CLS] holds √n times what each of the other rows of a document of n holds; False: as much.
        heads: how the scores of heads become one: root mean square ("rms"), "mean", or a mean by how far a head's
            scores are from uniform ("entropy").
        variance: least and most variance of a head's scores, scaled to a mean of 1, with which the head counts; where
            no head does, all do. None: all do. The source's 0.01 and 0.7 are of a scale that it does not tell.
        similar: share of the tokens that leave which leave for a near copy that stays, in [0, 1]; the selection has to
            count them by length.
        partition: of two halves by importance the one whose tokens leave for a near copy in the other: the less
            important one ("sequential"), the more "important" one, or every other token ("alternate").
    """

    rounds: tuple[int, ...] = (30, 5, 1)
    emphasis: bool = True
    heads: Heads = "rms"
    variance: tuple[float, ...] | None = None
    similar: float = 0.0
    partition: Partition = "sequential"

    name: ClassVar[str] = "page-rank"
    needs_attention: ClassVar[bool] = True
    needs_graph: ClassVar[bool] = True
    checks: ClassVar[Mapping[str, Check]] = {
        "rounds": Check(
            lambda rounds: list_of(_ROUND, "numbers").fits(rounds) and len(rounds) == 3,
            "give three whole numbers of 1 to 1000",
        ),
        "emphasis": BOOLEAN,
        "heads": one_of(get_args(Heads)),
        "variance": Check(
            lambda pair: list_of(_VARIANCE, "numbers").fits(pair) and len(pair) == 2 and pair[0] <= pair[1],
            "give two numbers of 0 or more, the least and the most",
        ).or_none(),
        "similar": SHARE,
        "partition": one_of(get_args(Partition)),
    }

    @property
    def needs_counts(self) -> bool:
        """Whether it has to know how many tokens leave."""
        return self.similar > 0

    @torch.no_grad()
    def of_graph(self, seen: Linked) -> Tensor:
        """Scores [1, T]: page rank, at least 0; below it, in the order in which they leave, the near copies."""
        scores, rounds = seen.protected.new_zeros(len(seen.protected), dtype=torch.float32), self._rounds(seen.depth)
        for numbers, rows, votes in seen.graph.documents():
            documents, _, length, _ = votes.query.shape
            text = length - seen.combination
            free = ~seen.protected[rows].view(documents, length)
            free[:, text:] = False
            start = self._start(seen.origin[rows].view(documents, length))
            if self.similar:
                copies = self._copies(votes, start, free, seen.leaving[numbers])
                stays = copies.isinf()
                found = torch.where(stays, self._importance(votes, start, rounds, free, stays), -2 - copies)
            else:
                found = self._importance(votes, start, rounds, free)
            scores[rows] = found.flatten()
        return scores.unsqueeze(0)

    def flops(self, layer: ScoredLayer) -> float:
        """The probabilities once more, the votes of all heads, and the similarity of two halves."""
        pairs, stages, half = layer.rows**2, int(self.similar > 0), layer.rows // 2
        votes = 2 * layer.heads * pairs * (self._rounds(layer.depth) + 2 * stages)
        alike = 2 * layer.hidden_size * stages * half * (layer.rows - half)
        return 2 * layer.hidden_size * pairs + votes + alike

    def _rounds(self, depth: float) -> int:
        """The rounds of a layer ahead of which this share of the layers stands."""
        return self.rounds[0 if depth < 0.25 else 1 if depth < 0.75 else 2]

    def _start(self, origin: Tensor) -> Tensor:
        """What the rows of documents hold at first, [D, n], by their positions."""
        start = torch.ones_like(origin, dtype=torch.float32)
        return start.masked_fill(origin == 0, origin.shape[1] ** 0.5) if self.emphasis else start

    def _importance(
        self, votes: Votes, start: Tensor, rounds: int, free: Tensor, among: Tensor | None = None
    ) -> Tensor:
        """Page rank of the rows, [D, n], all heads together; of those `among` whom it is taken, 0 for the others."""
        held = votes.count(start, rounds, among)
        counted = (free if among is None else free & among).unsqueeze(1)
        number = counted.sum(-1, keepdim=True).clamp(min=1)
        scaled = held * number / held.masked_fill(~counted, 0).sum(-1, keepdim=True).clamp(min=1e-30)
        weights = self._weights(scaled, counted, number)
        values = scaled.square() if self.heads == "rms" else scaled
        mean = (values * weights).sum(1) / weights.sum(1)
        return mean.sqrt() if self.heads == "rms" else mean

    def _weights(self, scaled: Tensor, counted: Tensor, number: Tensor) -> Tensor:
        """The weights of heads, [D, H, 1], from their scores [D, H, n] with a mean of 1 over the rows that count."""
        weights = torch.ones_like(scaled[:, :, :1])
        if self.variance is not None:
            variance = (scaled - 1).square().masked_fill(~counted, 0).sum(-1, keepdim=True) / number
            passing = ((variance >= self.variance[0]) & (variance <= self.variance[1])).float()
            weights = torch.where(passing.any(1, keepdim=True), passing, weights)
        if self.heads == "entropy":
            shares = (scaled / number).masked_fill(~counted, 0)
            told = weights * (number.log() + torch.special.xlogy(shares, shares).sum(-1, keepdim=True)).clamp(min=0)
            weights = torch.where(told.any(1, keepdim=True), told, 1.0)
        return weights

    def _copies(self, votes: Votes, start: Tensor, free: Tensor, leaving: Sequence[int]) -> Tensor:
        """How alike the near copies that leave are to a row that stays, [D, n]; minus infinity for all other rows.

        Stage I' ranks the rows by one round of votes, stage S takes the most alike of one half.
        """
        share = exact_ratio(self.similar)
        numbers = [count * share.numerator // share.denominator for count in leaving]
        first = self._half(self._importance(votes, start, 1, free), free)
        best = _most_alike(F.normalize(votes.keys.float(), dim=-1), first, free & ~first)
        counts = torch.tensor(numbers, device=best.device).unsqueeze(1)
        return best.masked_fill(~(_ranks(best) < counts), -torch.inf)

    def _half(self, ranked: Tensor, free: Tensor) -> Tensor:
        """Mark the half of the free rows from which near copies leave, [D, n]; of an odd number the smaller half."""
        rank, number = _ranks(ranked.masked_fill(~free, -torch.inf)), free.sum(-1, keepdim=True)
        if self.partition == "alternate":
            return free & (rank % 2 == 1)
        if self.partition == "important":
            return free & (rank < number // 2)
        return free & (rank >= number - number // 2)


def _most_alike(unit: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Of each row of the first half the largest cosine with one of the second, [D, n]; minus infinity for other rows.

    The first half has at most half of the n rows, the second half at most one more.
    """
    documents, length, width = unit.shape
    halves, found = length // 2, torch.full_like(unit[:, :, 0], -torch.inf)
    places = first.sort(dim=1, descending=True, stable=True).indices[:, :halves]
    others = second.sort(dim=1, descending=True, stable=True).indices[:, : length - halves]
    rows, partners = (unit.gather(1, own.unsqueeze(2).expand(documents, -1, width)) for own in (places, others))
    alike = cosines(rows, partners)
    alike.masked_fill_(~second.gather(1, others).unsqueeze(1), -torch.inf)
    return found.scatter_(1, places, alike.amax(2)).masked_fill_(~first, -torch.inf)


def _ranks(values: Tensor) -> Tensor:
    """The rank [D, n] of each value in its row, from 0, the highest first; of equals the lower place comes first."""
    order = values.sort(dim=-1, descending=True, stable=True).indices
    return torch.empty_like(order).scatter_(
        -1, order, torch.arange(order.shape[1], device=order.device).expand_as(order)
    )
