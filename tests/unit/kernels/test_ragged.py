"""Moves between packed and padded rows, and means of documents, against lists."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.kernels.ragged import Slots, document_means, runs, zip_runs

LENGTHS = st.lists(st.integers(1, 600), min_size=1, max_size=6)
CPU = torch.device("cpu")


@given(
    lengths=LENGTHS | st.integers(1, 9).map(lambda length: [length] * 3), sets=st.integers(1, 3), m=st.integers(0, 2)
)
def test_slots_pad_text_as_lists_do(lengths: list[int], sets: int, m: int) -> None:
    """Rows of a document are its text and then m others, which come back as the fill."""
    rows = [length + m for length in lengths]
    packed = torch.arange(sets * sum(rows), dtype=torch.float32).view(sets, -1)
    slots = Slots(rows, m, CPU)
    text = [[own[: len(own) - m] for own in part.tolist()] for part in packed.split(rows, dim=1)]
    padded = slots.pad(packed, -1.0)
    assert padded.tolist() == [[own + [-1.0] * (max(lengths) - len(own)) for own in part] for part in text]
    assert slots.alive[:, 0].tolist() == [[place < length for place in range(max(lengths))] for length in lengths]
    expected = [[value for part in text for value in [*part[head], *[-2.0] * m]] for head in range(sets)]
    assert slots.unpad(padded, -2.0).tolist() == expected


def test_slots_pad_flags() -> None:
    padded = Slots((2, 1), 0, CPU).pad(torch.tensor([[True, False, True]]), False)
    assert padded.tolist() == [[[True, False]], [[True, False]]]


@given(lengths=LENGTHS)
def test_means_are_those_of_each_document_alone(lengths: list[int]) -> None:
    values = torch.randn(sum(lengths), 5)
    expected = torch.stack([part.double().mean(0) for part in values.split(lengths)])
    torch.testing.assert_close(document_means(values, lengths).double(), expected, atol=1e-5, rtol=0)


def test_means_are_summed_in_float32() -> None:
    """In bfloat16 a running sum of ones ends at 256."""
    values = torch.ones(600, 2, dtype=torch.bfloat16)
    means = document_means(values, (500, 100))
    assert means.dtype == torch.bfloat16
    assert means.tolist() == [[1, 1], [1, 1]]


def test_means_carry_gradients() -> None:
    values = torch.randn(5, 2, requires_grad=True)
    document_means(values, (4, 1)).sum().backward()
    assert values.grad.tolist() == [[0.25, 0.25]] * 4 + [[1, 1]]


@given(lengths=st.lists(st.integers(1, 4), min_size=1, max_size=12))
def test_runs_are_neighbours_of_equal_length(lengths: list[int]) -> None:
    grouped = list(runs(lengths))
    assert [run.lengths[0] for run in grouped for _ in range(run.documents)] == lengths
    assert all(a.lengths != b.lengths for a, b in pairwise(grouped))
    values = torch.arange(sum(lengths))
    blocks = list(zip_runs(values, lengths))
    assert [run for run, _ in blocks] == grouped
    assert torch.equal(torch.cat([block for _, block in blocks]), values)


def test_runs_need_agreement_in_every_operand() -> None:
    assert [(run.documents, run.lengths) for run in runs((5, 5, 5), (3, 3, 4))] == [(2, (5, 3)), (1, (5, 4))]
    with pytest.raises(ValueError, match="zip"):
        list(runs((1, 2), (1,)))
