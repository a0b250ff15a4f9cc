"""Windows over a stream, and batches by a budget of tokens."""

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tokensieve.runtime.batching import batches_by_tokens, windows

LENGTHS = st.lists(st.integers(1, 600), max_size=60)


@given(LENGTHS, st.integers(1, 2000))
def test_every_document_is_in_one_batch_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(batches_by_tokens(lengths, budget))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(batch for batch in batches)
    assert all(len(batch) == 1 or sum(lengths[i] for i in batch) <= budget for batch in batches)


@given(LENGTHS, st.integers(1, 2000))
def test_documents_of_a_batch_are_neighbours_in_length(lengths: list[int], budget: int) -> None:
    in_order = [lengths[index] for batch in batches_by_tokens(lengths, budget) for index in batch]
    assert in_order == sorted(lengths, reverse=True)


@given(LENGTHS, st.integers(1, 2000))
def test_a_batch_ends_only_where_the_next_document_does_not_fit(lengths: list[int], budget: int) -> None:
    batches = list(batches_by_tokens(lengths, budget))
    assert all(sum(lengths[i] for i in one) + lengths[other[0]] > budget for one, other in pairwise(batches))


@given(LENGTHS, st.integers(1, 20), st.integers(1, 2000))
def test_windows_are_the_stream_in_order_and_bounded(sizes: list[int], most: int, most_size: int) -> None:
    found = list(windows(sizes, lambda size: size, most, most_size))
    assert [size for window in found for size in window] == sizes
    assert all(1 <= len(window) <= most and sum(window[:-1]) < most_size for window in found)


def test_windows_read_no_further_than_they_need() -> None:
    taken = []

    def stream() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield 10

    cut = windows(stream(), lambda size: size, 7, 1000)
    assert len(next(cut)) == len(taken) == 7
    assert len(next(windows(stream(), lambda size: size, 1000, 45))) == len(taken) - 7 == 5
