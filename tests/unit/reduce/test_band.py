"""Partners within a band: by hand, against all pairs, at the edges of documents, and in linear memory."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.kernels.cosines import GRID
from tokensieve.reduce.band import free_tokens, pairs_within, partners


def flags(total: int, protected: list[int]) -> torch.Tensor:
    return torch.zeros(total, dtype=torch.bool).index_fill(0, torch.tensor(protected, dtype=torch.long), True)


def test_free_tokens_by_hand() -> None:
    """Two documents, the second all protected but one; a combination token at the end of each."""
    free = free_tokens(flags(9, [0, 5, 7]), (5, 4), 1)
    assert free.rows.tolist() == [1, 2, 3, 6]
    assert free.document.tolist() == [0, 0, 0, 1]
    assert free.number.tolist() == [0, 1, 2, 0]


def test_the_next_token_alone() -> None:
    """k = 1: though token 3 is the same as token 0, 0 is compared with 1; the last token of a document with none."""
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    free = free_tokens(flags(6, []), (5, 1), 0)
    found = partners(vectors, free, torch.arange(6), 1)
    assert found.places.tolist() == [1, 2, 3, 4, 4, 5]
    half = 0.5**0.5
    torch.testing.assert_close(
        found.cosines, torch.tensor([0.0, half, half, 1.0, -torch.inf, -torch.inf]), atol=0.5 / GRID, rtol=0
    )


def test_of_equals_the_earlier_one() -> None:
    free = free_tokens(flags(6, []), (6,), 0)
    assert partners(torch.ones(6, 2), free, torch.tensor([2]), 2).places.tolist() == [1]


def test_only_those_that_take() -> None:
    free = free_tokens(flags(4, []), (4,), 0)
    found = partners(torch.ones(4, 2), free, torch.tensor([0, 2]), 5, torch.tensor([False, False, False, True]))
    assert found.places.tolist() == [3, 3]
    assert not partners(torch.ones(4, 2), free, torch.tensor([0]), 5, flags(4, [])).cosines.isfinite().any()


@given(
    lengths=st.lists(st.integers(1, 24), min_size=1, max_size=4), band=st.integers(1, 30), protects=st.integers(0, 3)
)
def test_all_pairs_of_the_halves_within_the_band(lengths: list[int], band: int, protects: int) -> None:
    """As the source writes it: a_i and b_j with |i - j| < k, over the whole matrix of each document."""
    total = sum(lengths)
    vectors = torch.randn(total, 3, generator=torch.Generator().manual_seed(total))
    protected = flags(total, list(range(0, total, 5))[:protects])
    free = free_tokens(protected, lengths, 0)
    asked = (free.number % 2 == 0).nonzero().squeeze(1)
    found = partners(vectors, free, asked, band)
    pairs = zip(found.cosines.tolist(), free.rows[found.places].tolist(), strict=True)
    best = dict(zip(free.rows[asked].tolist(), pairs, strict=True))
    start = 0
    for length in lengths:
        own = [row for row in range(start, start + length) if not protected[row]]
        first, second = own[::2], own[1::2]
        for i, row in enumerate(first):
            near = {
                other: float(torch.cosine_similarity(vectors[row], vectors[other], dim=0))
                for j, other in enumerate(second)
                if abs(i - j) < band
            }
            if near:
                assert near[best[row][1]] >= max(near.values()) - 1.1 / GRID
                assert best[row][0] == pytest.approx(max(near.values()), abs=1 / GRID)
            else:
                assert best[row] == (-float("inf"), row)
        start += length


@pytest.mark.parametrize(("tokens", "band"), [(10, 1), (10, 2), (10, 5), (64, 7)])
def test_the_number_of_pairs(tokens: int, band: int) -> None:
    half = tokens // 2
    assert pairs_within(tokens, band) == sum(abs(i - j) < band for i in range(half) for j in range(half))


def test_a_band_wider_than_the_document_is_all_of_it() -> None:
    assert pairs_within(10, 99) == pairs_within(10, 5) == 25
