"""attend(), by every backend, against attention as it is defined: a document and a head at a time, awkward lengths."""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import tokensieve.kernels.received as received_module
from tokensieve import ConfigError
from tokensieve.kernels.attend import attend
from tokensieve.kernels.backends import BACKENDS, resolve_backend
from tokensieve.kernels.received import ALL, Queries, Scoring
from tokensieve.kernels.relative import RelativeBias

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


def every(queries: int) -> slice:
    return ALL


EVERY = Scoring(every)
SCORED: dict[str, Queries | None] = {
    "no score": None,
    "all": every,
    "first": lambda rows: [0],
    "every third": lambda rows: list(range(0, rows, 3)),
}
each_scored = pytest.mark.parametrize("scored", SCORED.values(), ids=SCORED)
each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_lengths = pytest.mark.parametrize(("q_lengths", "k_lengths"), LENGTHS.values(), ids=LENGTHS)


def scoring_of(scored: Queries | None, own: bool = True) -> Scoring | None:
    return None if scored is None else Scoring(scored, own)


def packed(q_lengths: Sequence[int], k_lengths: Sequence[int], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [
        torch.randn(sum(lengths), HEADS, SIZE, dtype=dtype, requires_grad=True)
        for lengths in (q_lengths, k_lengths, k_lengths)
    ]


def naive(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    q_lengths: Sequence[int],
    k_lengths: Sequence[int],
    scored: Queries = every,
) -> tuple[Tensor, Tensor]:
    """Context and received attention from the definition, in float32."""
    parts = zip(query.split(list(q_lengths)), key.split(list(k_lengths)), value.split(list(k_lengths)), strict=True)
    contexts, received = [], []
    for q, k, v in parts:
        heads = [torch.softmax(q[:, h].float() @ k[:, h].float().T / math.sqrt(SIZE), dim=1) for h in range(HEADS)]
        contexts.append(torch.cat([p @ v[:, h].float() for h, p in enumerate(heads)], dim=1))
        received.append(torch.stack([p[scored(len(q))].mean(0) for p in heads]))
    return torch.cat(contexts), torch.cat(received, dim=1)


@each_lengths
@each_scored
@each_backend
@pytest.mark.parametrize("training", [True, False])
def test_forward(
    q_lengths: tuple[int, ...], k_lengths: tuple[int, ...], scored: Queries | None, backend: str, training: bool
) -> None:
    tensors = packed(q_lengths, k_lengths)
    with torch.set_grad_enabled(training):
        context, columns = attend(*tensors, q_lengths, k_lengths, scoring=scoring_of(scored), backend=backend)
    expected, expected_columns = naive(*tensors, q_lengths, k_lengths, scored or every)
    torch.testing.assert_close(context, expected, atol=1e-5, rtol=1e-5)
    if scored is None:
        assert columns is None
        return
    assert columns.dtype == torch.float32
    assert not columns.requires_grad
    torch.testing.assert_close(columns, expected_columns, atol=1e-6, rtol=1e-5)


@each_lengths
@pytest.mark.parametrize("scored", [None, every])
@each_backend
def test_backward(q_lengths: tuple[int, ...], k_lengths: tuple[int, ...], scored: Queries | None, backend: str) -> None:
    tensors, direction = packed(q_lengths, k_lengths), torch.randn(sum(q_lengths), HEADS * SIZE)
    context = attend(*tensors, q_lengths, k_lengths, scoring=scoring_of(scored), backend=backend)[0]
    ours = torch.autograd.grad((context * direction).sum(), tensors)
    expected = torch.autograd.grad((naive(*tensors, q_lengths, k_lengths)[0] * direction).sum(), tensors)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


@each_lengths
@each_backend
@pytest.mark.parametrize("training", [True, False])
def test_bfloat16(q_lengths: tuple[int, ...], k_lengths: tuple[int, ...], backend: str, training: bool) -> None:
    """The context is rounded to bfloat16; the score is not."""
    tensors = packed(q_lengths, k_lengths, torch.bfloat16)
    with torch.set_grad_enabled(training):
        context, columns = attend(*tensors, q_lengths, k_lengths, scoring=EVERY, backend=backend)
    expected, expected_columns = naive(*tensors, q_lengths, k_lengths)
    assert (context.dtype, columns.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(context.float(), expected, atol=0.03, rtol=0.03)
    torch.testing.assert_close(columns, expected_columns, atol=1e-3, rtol=1e-2)


@each_backend
@pytest.mark.parametrize("training", [True, False])
def test_the_score_of_bfloat16_is_taken_in_float32(backend: str, training: bool) -> None:
    """Logits of 32 and a little, which is lost where they are rounded to bfloat16 before the softmax: all would tie."""
    query = torch.tensor([8.0, 1.0], dtype=torch.bfloat16).view(1, 1, 2)
    key = torch.tensor([[4.0, 0.0], [4.0, 0.0625], [4.0, 0.03125]], dtype=torch.bfloat16).view(3, 1, 2)
    with torch.set_grad_enabled(training):
        columns = attend(query, key, key, (1,), (3,), scoring=EVERY, backend=backend)[1]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cast = attend(query.float(), key.float(), key.float(), (1,), (3,), scoring=EVERY, backend=backend)[1]
    exact = torch.softmax(torch.tensor([32.0, 32.0625, 32.03125]) / math.sqrt(2), dim=0)
    torch.testing.assert_close(columns[0], exact, atol=1e-5, rtol=0)
    torch.testing.assert_close(cast[0], exact, atol=1e-5, rtol=0)


def test_received_attention_of_a_document_sums_to_one() -> None:
    lengths = (4, 11, 1)
    columns = attend(*packed(lengths, lengths), lengths, lengths, scoring=EVERY)[1]
    sums = torch.stack([part.sum(1) for part in columns.split(list(lengths), dim=1)])
    torch.testing.assert_close(sums, torch.ones(3, HEADS))


@each_backend
def test_the_score_is_taken_before_dropout(backend: str) -> None:
    """Same score with and without; the context, on average over many draws, too."""
    lengths = (30,)
    tensors = packed(lengths, lengths)
    plain, score = attend(*tensors, lengths, lengths, scoring=EVERY, backend=backend)
    torch.manual_seed(0)
    draws = [attend(*tensors, lengths, lengths, dropout=0.3, scoring=EVERY, backend=backend) for _ in range(300)]
    for context, own in draws[:5]:
        torch.testing.assert_close(own, score)
        assert (context - plain).abs().max() > 0.1
    mean = torch.stack([context.detach() for context, _ in draws]).mean(0)
    assert (mean - plain.detach()).abs().max() < 0.15


@pytest.mark.parametrize("elements", [1, 50, 10_000])
@pytest.mark.parametrize("backend", ["blocked", "fused"])
@torch.no_grad()
def test_blocks_of_heads_change_nothing(backend: str, elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(received_module, "_BLOCK_ELEMENTS", elements)
    lengths = (5, 5, 13)
    tensors = packed(lengths, lengths)
    expected = naive(*tensors, lengths, lengths)
    for ours, theirs in zip(attend(*tensors, lengths, lengths, scoring=EVERY, backend=backend), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@given(lengths=st.lists(st.tuples(st.integers(1, 600), st.integers(1, 600)), min_size=1, max_size=4))
@torch.no_grad()
def test_any_lengths(lengths: list[tuple[int, int]]) -> None:
    q_lengths, k_lengths = zip(*lengths, strict=True)
    tensors = packed(q_lengths, k_lengths)
    for ours, theirs in zip(
        attend(*tensors, q_lengths, k_lengths, scoring=EVERY), naive(*tensors, q_lengths, k_lengths), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_names() -> None:
    assert resolve_backend("auto") == "blocked"
    assert [resolve_backend(name) for name in BACKENDS] == list(BACKENDS)
    with pytest.raises(ConfigError, match="attention_backend='flash': choose one of auto, blocked, fused, eager"):
        resolve_backend("flash")


@torch.no_grad()
def test_inference_takes_the_softmax_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocked backend needs no fused attention where all queries are scored, and no blocks where none are."""
    calls = []
    fused = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional, "scaled_dot_product_attention", lambda *a, **o: calls.append(1) or fused(*a, **o)
    )
    attend(*packed((5,), (5,)), (5,), (5,), scoring=EVERY)
    assert not calls
    attend(*packed((5,), (5,)), (5,), (5,))
    attend(*packed((5,), (5,)), (5,), (5,), scoring=scoring_of(SCORED["first"]))
    assert len(calls) == 2


def test_nothing_is_computed_twice_for_frozen_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients are on, but nobody wants one."""
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", None)
    frozen = [tensor.detach() for tensor in packed((5,), (5,))]
    context, columns = attend(*frozen, (5,), (5,), scoring=EVERY)
    expected = naive(*frozen, (5,), (5,))
    torch.testing.assert_close((context, columns), expected, atol=1e-5, rtol=1e-5)


@each_backend
@torch.no_grad()
def test_exempt_documents_are_not_scored(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside one that is, of the same length and of another."""
    asked: list[int] = []
    original = BACKENDS[backend]

    def note(*arguments: Any) -> Any:
        asked.extend([arguments[0].shape[2]] * len(arguments[0]) if arguments[4] is not None else [])
        return original(*arguments)

    monkeypatch.setitem(BACKENDS, backend, note)
    lengths = (5, 5, 7, 5)
    tensors = packed(lengths, lengths)
    context, columns = attend(
        *tensors, lengths, lengths, scoring=EVERY, exempt=(False, True, True, False), backend=backend
    )
    expected, expected_columns = naive(*tensors, lengths, lengths)
    assert asked == [5, 5]
    torch.testing.assert_close(context, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(columns[:, :5], expected_columns[:, :5])
    torch.testing.assert_close(columns[:, -5:], expected_columns[:, -5:])
    assert not columns[:, 5:-5].any()


BIASED: dict[str, tuple[list[list[int]], list[list[int]]]] = {
    "all": ([[0, 1, 2], [0, 1, 2]], [[0, 1, 2], [0, 1, 2]]),
    "survivors": ([[0, 3, 6], [0, 1, 9], [0, 1, 9]], [[0, 3, 6], [0, 1, 9], [0, 1, 9]]),
    "other keys": ([[0, 2], [1, 5]], [[0, 1, 2, 3, 4], [0, 1, 5, 6, 7]]),
    "combination tokens": ([[0, 4, -1, -1], [0, -1, -1]], [[0, 4, -1, -1], [0, -1, -1]]),
}
"""Positions of queries and keys in each document; -1 for those of combination tokens."""


@each_backend
@each_scored
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("queries", "keys"), BIASED.values(), ids=BIASED)
def test_bias_by_distance(
    queries: list[list[int]], keys: list[list[int]], scored: Queries | None, backend: str, apart: bool, training: bool
) -> None:
    """A pair by a pair; keys of all heads alike, or a set of each head."""
    longest = 10
    table = torch.randn(HEADS, 2 * longest)
    table[:, -1] = 0
    q_lengths, k_lengths = tuple(map(len, queries)), tuple(map(len, keys))
    tensors = packed(q_lengths, k_lengths)
    key = torch.tensor([list(chain(*keys))] * (HEADS if apart else 1))
    if apart:  # the last head has other keys
        key[-1] = torch.tensor(list(chain(*(sorted(own, reverse=True) for own in keys))))
    bias = RelativeBias(table.requires_grad_(training), torch.tensor(list(chain(*queries))), key)
    with torch.set_grad_enabled(training):
        context, columns = attend(
            *tensors, q_lengths, k_lengths, scoring=scoring_of(scored), backend=backend, bias=bias
        )
    starts = [(sum(q_lengths[:i]), sum(k_lengths[:i])) for i in range(len(queries))]
    for (q_start, k_start), n, k in zip(starts, q_lengths, k_lengths, strict=True):
        q, ks, v = tensors[0][q_start : q_start + n], *(own[k_start : k_start + k] for own in tensors[1:])
        for h in range(HEADS):
            places = key[h if apart else 0, k_start : k_start + k].tolist()
            added = [
                [0.0 if -1 in (i, j) else float(table.detach()[h, j - i + longest - 1]) for j in places]
                for i in bias.query[q_start : q_start + n].tolist()
            ]
            p = torch.softmax(q[:, h] @ ks[:, h].T / math.sqrt(SIZE) + torch.tensor(added), dim=1)
            own = context[q_start : q_start + n].unflatten(1, (HEADS, SIZE))[:, h]
            torch.testing.assert_close(own, p @ v[:, h], atol=1e-5, rtol=1e-4)
            if columns is not None and scored is not None:
                got = columns[h, k_start : k_start + k]
                torch.testing.assert_close(got, p[scored(n)].mean(0), atol=1e-5, rtol=1e-4)
    if training:
        context.square().sum().backward()
        assert table.grad is not None and table.grad[:, :-1].any()


def test_documents_with_other_positions_are_calls_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are one call with one bias, however many they are."""
    shapes: list[tuple[int, ...]] = []
    original = BACKENDS["fused"]

    def note(q: Tensor, *others: Any) -> Any:
        shapes.append((len(q), *others[-1].shape))
        return original(q, *others)

    monkeypatch.setitem(BACKENDS, "fused", note)
    positions = torch.tensor([0, 1, 2] * 4 + [0, 1, 3])
    bias = RelativeBias(torch.randn(HEADS, 8), positions, positions.unsqueeze(0))
    attend(*packed((3,) * 5, (3,) * 5), (3,) * 5, (3,) * 5, backend="fused", bias=bias)
    assert shapes == [(4, 1, HEADS, 3, 3), (1, 1, HEADS, 3, 3)]


@pytest.mark.parametrize("elements", [1, 7, 30, 10_000])
@pytest.mark.parametrize("shape", [(1, HEADS, 5, 4), (2, HEADS, 5, 4), (2, 1, 1, 4), (1, 1, 5, 4)], ids=str)
def test_gradients_of_a_trained_bias_without_probabilities(
    elements: int, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(received_module, "_BLOCK_ELEMENTS", elements)
    q, k, v = (torch.randn(2, HEADS, rows, SIZE, requires_grad=True) for rows in (5, 4, 4))
    bias = torch.randn(shape, requires_grad=True)
    ours, theirs = BACKENDS["fused"](q, k, v, 0.0, None, bias)[0], BACKENDS["eager"](q, k, v, 0.0, None, bias)[0]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    weights = torch.randn_like(ours)
    pairs = zip(*(torch.autograd.grad((own * weights).sum(), (q, k, v, bias)) for own in (ours, theirs)), strict=True)
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_trained_bias_keeps_no_probabilities_for_the_backward_pass() -> None:
    kept: list[int] = []
    q, k, v = (torch.randn(1, HEADS, 300, SIZE, requires_grad=True) for _ in range(3))
    bias = torch.randn(1, HEADS, 300, 300, requires_grad=True)

    def note(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() != bias.untyped_storage().data_ptr():
            kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        BACKENDS["blocked"](q, k, v, 0.0, None, bias)
    assert kept
    assert max(kept) == q.numel()


@each_backend
@each_scored
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("training", [True, False])
def test_a_key_that_stands_for_many_is_as_many_equal_keys(
    scored: Queries | None, backend: str, biased: bool, training: bool
) -> None:
    """Documents of equal lengths and other sizes in one call; the copies are really there on the other side."""
    lengths, counts = (3, 3, 5), torch.tensor([1, 4, 2, 3, 1, 1, 1, 2, 1, 6, 1])
    query, key, value = packed(lengths, lengths)
    many = tuple(int(own.sum()) for own in counts.split(list(lengths)))
    position, copied = torch.arange(11) % 3, [own.repeat_interleave(counts, 0) for own in (key, value)]
    table = torch.randn(HEADS, 8, requires_grad=training)
    bias, bias_of_copies = (
        RelativeBias(table, position, at.unsqueeze(0)) if biased else None
        for at in (position, position.repeat_interleave(counts))
    )
    with torch.set_grad_enabled(training):
        context, columns = attend(
            query,
            key,
            value,
            lengths,
            lengths,
            scoring=scoring_of(scored),
            backend=backend,
            bias=bias,
            sizes=counts.float(),
        )
        expected, theirs = attend(
            query, *copied, lengths, many, scoring=scoring_of(scored), backend="eager", bias=bias_of_copies
        )
    torch.testing.assert_close(context, expected, atol=1e-5, rtol=1e-4)
    if columns is not None and theirs is not None:
        row = torch.arange(11).repeat_interleave(counts)
        torch.testing.assert_close(columns, torch.zeros(HEADS, 11).index_add(1, row, theirs), atol=1e-5, rtol=1e-4)
    if training:
        wanted = [query, key, value, table] if biased else [query, key, value]
        pairs = (torch.autograd.grad(own.square().sum(), wanted) for own in (context, expected))
        for found, right in zip(*pairs, strict=True):
            torch.testing.assert_close(found, right, atol=1e-4, rtol=1e-3)


@each_backend
@pytest.mark.parametrize("scored", [every, lambda rows: list(range(0, rows, 3))], ids=["all", "every third"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("block", [1 << 20, 64])
def test_what_a_key_receives_from_itself_is_left_out(
    backend: str, scored: Queries, training: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokensieve.kernels.received._BLOCK_ELEMENTS", block)
    lengths = (5, 1, 30)
    tensors = packed(lengths, lengths)
    with torch.set_grad_enabled(training):
        context, columns = attend(*tensors, lengths, lengths, scoring=scoring_of(scored, own=False), backend=backend)
    torch.testing.assert_close(context, naive(*tensors, lengths, lengths)[0], atol=1e-5, rtol=1e-5)
    start, expected = 0, []
    for length in lengths:
        rows = slice(start, start + length)
        q, k = (part[rows].detach().transpose(0, 1) for part in tensors[:2])
        probabilities = (q @ k.transpose(1, 2) / math.sqrt(SIZE)).softmax(-1)
        for row in range(length):
            probabilities[:, row, row] = 0
        expected.append(probabilities[:, scored(length)].mean(1))
        start += length
    torch.testing.assert_close(columns, torch.cat(expected, 1), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("backend", ["blocked", "fused"])
def test_an_attached_score_has_a_gradient(backend: str) -> None:
    lengths = (5, 1, 7)
    tensors = packed(lengths, lengths)
    columns = attend(*tensors, lengths, lengths, scoring=Scoring(every, attached=True), backend=backend)[1]
    direction = torch.randn_like(columns)
    ours = torch.autograd.grad((columns * direction).sum(), tensors[:2])
    expected = torch.autograd.grad((naive(*tensors, lengths, lengths)[1] * direction).sum(), tensors[:2])
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-4)
