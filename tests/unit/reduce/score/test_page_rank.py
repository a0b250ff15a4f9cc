"""Page rank by hand, and what its settings change."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tokensieve import ConfigError, Prune
from tokensieve.kernels.cosines import GRID
from tokensieve.kernels.graph import Graph
from tokensieve.reduce.contract import Linked, ScoredLayer
from tokensieve.reduce.score.page_rank import PageRank
from tokensieve.reduce.select.quantile import Quantile
from tokensieve.reduce.select.top_share import TopShare
from tokensieve.reduce.site import Hidden, Keys

EVERY = (0.0, 1e6)
"""A range of variances in which all heads are, as they are without one."""


def linked(given: list[list[list[float]]], leaving: int = 0, depth: float = 0.0, keys: Tensor | None = None) -> Linked:
    """One document with this attention [H, n, n]: with keys of the identity, logits are what queries are."""
    heads, n = len(given), len(given[0])
    wanted = torch.tensor(given).clamp(min=1e-30).log() * math.sqrt(n)
    key = torch.eye(n).unsqueeze(1).expand(n, heads, n)
    graph = Graph(wanted.transpose(0, 1), key, (n,), (False,))
    if keys is not None:
        graph = Graph(torch.zeros(n, heads, keys.shape[1]), keys.unsqueeze(1).expand(-1, heads, -1), (n,), (False,))
    protected = torch.arange(n) == 0
    return Linked(graph, torch.arange(n), protected, 0, (leaving,), depth)


UNIFORM = [[1 / 3] * 3] * 3
CHAIN = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
"""0 gives all to 1, 1 to 2, 2 to 0."""


@pytest.mark.parametrize(("depth", "rounds"), [(0.0, 2), (0.24, 2), (0.25, 1), (0.74, 1), (0.75, 3)])
def test_rounds_by_depth(depth: float, rounds: int) -> None:
    """What [CLS] holds at first wanders along the chain, one row a round."""
    score = PageRank(rounds=(2, 1, 3), heads="mean", variance=EVERY)
    scores = score.of_graph(linked([CHAIN], depth=depth))[0]
    assert int(scores.argmax()) == rounds % 3
    others = scores[(rounds + 1) % 3]
    assert float(scores[rounds % 3] / others) == pytest.approx(math.sqrt(3))


def test_without_emphasis_a_chain_is_even() -> None:
    scores = PageRank(emphasis=False, heads="mean", variance=EVERY).of_graph(linked([CHAIN]))
    torch.testing.assert_close(scores, torch.ones(1, 3))


def test_one_round_is_received_attention() -> None:
    given = torch.rand(2, 5, 5).softmax(-1)
    score = PageRank((1, 1, 1), emphasis=False, heads="mean", variance=EVERY)
    scores = score.of_graph(linked(given.tolist()))[0, 1:]
    received = given.mean(1)  # of each head, [H, n]; scaled to a mean of 1 over what may leave
    expected = (received[:, 1:] / received[:, 1:].mean(1, keepdim=True)).mean(0)
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-5)


def to(place: int, n: int = 4) -> list[list[float]]:
    """All rows give most to one."""
    return [[0.7 if j == place else 0.1 for j in range(n)] for _ in range(n)]


def test_heads() -> None:
    """One head gives most to row 1, two give somewhat more to row 2: the root mean square likes row 1 better."""
    mild = [[0.2, 0.2, 0.4, 0.2]] * 4
    heads = linked([to(1), mild, mild])
    plain = PageRank((1, 1, 1), emphasis=False, variance=EVERY)
    rms = plain.of_graph(heads)[0]
    mean = replace(plain, heads="mean").of_graph(heads)[0]
    entropy = replace(plain, heads="entropy").of_graph(heads)[0]
    assert float(rms[1] / rms[2]) > float(mean[1] / mean[2])
    assert float(entropy[1] / entropy[2]) > float(mean[1] / mean[2])
    filtered = replace(plain, variance=(0.01, 0.5)).of_graph(heads)[0]
    assert filtered[2] > filtered[1], "the head of large variance does not count"


def test_where_no_head_passes_all_count() -> None:
    plain = PageRank((1, 1, 1), emphasis=False, variance=EVERY)
    heads = linked([to(1), to(2)])
    torch.testing.assert_close(
        replace(plain, variance=(90.0, 91.0)).of_graph(heads), plain.of_graph(heads), atol=0, rtol=0
    )
    assert torch.equal(replace(plain, variance=None).of_graph(heads), plain.of_graph(heads))
    even = linked([UNIFORM, UNIFORM])
    assert PageRank(heads="entropy", emphasis=False).of_graph(even)[0].tolist() == pytest.approx([1.0] * 3)


KEYS = torch.tensor([[9.0, 9.0, 9.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.1], [1.0, 0.1, 0.0]])


def test_near_copies_leave_first() -> None:
    """Of uniform attention the later rows are the less important half: 3 is a near copy of 2, 4 of 1."""
    scores = PageRank(emphasis=False, similar=0.5).of_graph(linked([[[0.0] * 5] * 5], leaving=2, keys=KEYS))[0]
    alike = torch.cosine_similarity(KEYS[3], KEYS[2], dim=0), torch.cosine_similarity(KEYS[4], KEYS[1], dim=0)
    assert float(scores[3]) == pytest.approx(float(-2 - alike[0]), abs=1 / GRID)
    assert scores[4] >= 0 and alike[0] == pytest.approx(alike[1]), "of equals the lower place leaves"
    both = PageRank(emphasis=False, similar=1.0).of_graph(linked([[[0.0] * 5] * 5], leaving=2, keys=KEYS))[0]
    assert (both < 0).tolist() == [False, False, False, True, True]


@pytest.mark.parametrize(("partition", "leave"), [("sequential", [3, 4]), ("important", [1, 2]), ("alternate", [2, 4])])
def test_partitions(partition: str, leave: list[int]) -> None:
    score = PageRank(emphasis=False, similar=1.0, partition=partition)  # type: ignore[arg-type]
    scores = score.of_graph(linked([[[0.0] * 5] * 5], leaving=4, keys=KEYS))[0]
    assert (scores < 0).nonzero().flatten().tolist() == leave, "no more than a half leaves in this way"


def test_importance_is_shared_out_among_those_that_stay() -> None:
    """Rows 3 and 4 give all to each other; without 4, row 3 gives to the others what it gave to 4."""
    given = torch.full((1, 5, 5), 0.2)
    seen = linked(given.tolist(), leaving=2, keys=KEYS)
    scores = PageRank(emphasis=False, similar=0.5, variance=EVERY).of_graph(seen)[0]
    staying = scores[scores >= 0][1:]
    assert float(staying.mean()) == pytest.approx(1.0), "scaled to those that may leave and stay"


def test_flops_by_hand() -> None:
    layer = ScoredLayer(32, 4, 0.5, 20, 20, 20, 2)
    assert PageRank().flops(layer) == 2 * 32 * 400 + 5 * 2 * 4 * 400
    assert PageRank(similar=0.1).flops(layer) == 2 * 32 * 400 + (5 + 2) * 2 * 4 * 400 + 2 * 32 * 10 * 10


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rounds": (1, 2)}, "rounds=.*give three whole numbers"),
        ({"rounds": (1, 0, 2)}, "rounds=.*give three whole numbers"),
        ({"heads": "max"}, "heads='max': choose one of 'rms', 'mean', 'entropy'"),
        ({"variance": (0.7, 0.1)}, "variance=.*the least and the most"),
        ({"similar": 1.5}, "similar=1.5"),
        ({"partition": "random"}, "partition='random'"),
        ({"emphasis": 1}, "emphasis=1: give True or False"),
    ],
)
def test_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PageRank(**wrong)  # type: ignore[arg-type]


def test_pairings() -> None:
    with pytest.raises(ConfigError, match="score=page-rank with site=keys: there queries and keys are other tokens"):
        Prune(PageRank(), TopShare(), site=Keys())
    with pytest.raises(ConfigError, match=r"score=page-rank with select=quantile: .*use select=top-share"):
        Prune(PageRank(similar=0.5), Quantile(), site=Hidden())
    assert Prune(PageRank(), Quantile(), site=Hidden()).score == PageRank()
