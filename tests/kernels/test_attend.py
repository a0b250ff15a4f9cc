"""attend() against attention as it is defined, a document and a head at a time, over awkward lengths."""

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import tokensieve.kernels.attend as module
from tokensieve.kernels.attend import attend

HEADS, SIZE = 3, 8
LENGTHS = {
    "one": ((1,), (1,)),
    "odd": ((7,), (7,)),
    "equal": ((5, 5, 5), (5, 5, 5)),
    "very unequal": ((1, 130, 2, 1), (1, 130, 2, 1)),
    "fewer keys": ((6, 6, 9), (3, 3, 1)),
    "equal queries, other keys": ((6, 6, 6), (3, 6, 3)),
    "one key": ((40, 40), (1, 1)),
}
each_lengths = pytest.mark.parametrize(("q_lengths", "k_lengths"), LENGTHS.values(), ids=LENGTHS)


def packed(q_lengths: Sequence[int], k_lengths: Sequence[int], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [
        torch.randn(sum(lengths), HEADS, SIZE, dtype=dtype, requires_grad=True)
        for lengths in (q_lengths, k_lengths, k_lengths)
    ]


def naive(
    query: Tensor, key: Tensor, value: Tensor, q_lengths: Sequence[int], k_lengths: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Context and received attention from the definition, in float32."""
    parts = zip(query.split(list(q_lengths)), key.split(list(k_lengths)), value.split(list(k_lengths)), strict=True)
    contexts, received = [], []
    for q, k, v in parts:
        heads = [torch.softmax(q[:, h].float() @ k[:, h].float().T / math.sqrt(SIZE), dim=1) for h in range(HEADS)]
        contexts.append(torch.cat([p @ v[:, h].float() for h, p in enumerate(heads)], dim=1))
        received.append(torch.stack([p.mean(0) for p in heads]))
    return torch.cat(contexts), torch.cat(received, dim=1)


@each_lengths
@pytest.mark.parametrize("received", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_forward(q_lengths: tuple[int, ...], k_lengths: tuple[int, ...], received: bool, training: bool) -> None:
    tensors = packed(q_lengths, k_lengths)
    with torch.set_grad_enabled(training):
        context, columns = attend(*tensors, q_lengths, k_lengths, received=received)
    expected, expected_columns = naive(*tensors, q_lengths, k_lengths)
    torch.testing.assert_close(context, expected, atol=1e-5, rtol=1e-5)
    if not received:
        assert columns is None
        return
    assert columns.dtype == torch.float32
    assert not columns.requires_grad
    torch.testing.assert_close(columns, expected_columns, atol=1e-6, rtol=1e-5)


@each_lengths
@pytest.mark.parametrize("received", [True, False])
def test_backward(q_lengths: tuple[int, ...], k_lengths: tuple[int, ...], received: bool) -> None:
    tensors, direction = packed(q_lengths, k_lengths), torch.randn(sum(q_lengths), HEADS * SIZE)
    ours = torch.autograd.grad(
        (attend(*tensors, q_lengths, k_lengths, received=received)[0] * direction).sum(), tensors
    )
    expected = torch.autograd.grad((naive(*tensors, q_lengths, k_lengths)[0] * direction).sum(), tensors)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


@each_lengths
@pytest.mark.parametrize("training", [True, False])
def test_bfloat16(q_lengths: tuple[int, ...], k_lengths: tuple[int, ...], training: bool) -> None:
    """The context is rounded to bfloat16; the score is not."""
    tensors = packed(q_lengths, k_lengths, torch.bfloat16)
    with torch.set_grad_enabled(training):
        context, columns = attend(*tensors, q_lengths, k_lengths, received=True)
    expected, expected_columns = naive(*tensors, q_lengths, k_lengths)
    assert (context.dtype, columns.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(context.float(), expected, atol=0.03, rtol=0.03)
    torch.testing.assert_close(columns, expected_columns, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("training", [True, False])
def test_the_score_of_bfloat16_is_taken_in_float32(training: bool) -> None:
    """Logits of 32 and a little, which is lost where they are rounded to bfloat16 before the softmax: all would tie."""
    query = torch.tensor([8.0, 1.0], dtype=torch.bfloat16).view(1, 1, 2)
    key = torch.tensor([[4.0, 0.0], [4.0, 0.0625], [4.0, 0.03125]], dtype=torch.bfloat16).view(3, 1, 2)
    with torch.set_grad_enabled(training):
        columns = attend(query, key, key, (1,), (3,), received=True)[1]
    exact = torch.softmax(torch.tensor([32.0, 32.0625, 32.03125]) / math.sqrt(2), dim=0)
    torch.testing.assert_close(columns[0], exact, atol=1e-5, rtol=0)


def test_received_attention_of_a_document_sums_to_one() -> None:
    lengths = (4, 11, 1)
    columns = attend(*packed(lengths, lengths), lengths, lengths, received=True)[1]
    sums = torch.stack([part.sum(1) for part in columns.split(list(lengths), dim=1)])
    torch.testing.assert_close(sums, torch.ones(3, HEADS))


def test_the_score_is_taken_before_dropout() -> None:
    """Same score with and without; the context, on average over many draws, too."""
    lengths = (30,)
    tensors = packed(lengths, lengths)
    plain, score = attend(*tensors, lengths, lengths, received=True)
    torch.manual_seed(0)
    draws = [attend(*tensors, lengths, lengths, dropout=0.3, received=True) for _ in range(300)]
    for context, own in draws[:5]:
        torch.testing.assert_close(own, score)
        assert (context - plain).abs().max() > 0.1
    mean = torch.stack([context.detach() for context, _ in draws]).mean(0)
    assert (mean - plain.detach()).abs().max() < 0.15


@pytest.mark.parametrize("elements", [1, 50, 10_000])
@torch.no_grad()
def test_blocks_of_heads_change_nothing(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_ELEMENTS", elements)
    lengths = (5, 5, 13)
    tensors = packed(lengths, lengths)
    expected = naive(*tensors, lengths, lengths)
    for ours, theirs in zip(attend(*tensors, lengths, lengths, received=True), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@given(lengths=st.lists(st.tuples(st.integers(1, 600), st.integers(1, 600)), min_size=1, max_size=4))
@torch.no_grad()
def test_any_lengths(lengths: list[tuple[int, int]]) -> None:
    q_lengths, k_lengths = zip(*lengths, strict=True)
    tensors = packed(q_lengths, k_lengths)
    for ours, theirs in zip(
        attend(*tensors, q_lengths, k_lengths, received=True), naive(*tensors, q_lengths, k_lengths), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
