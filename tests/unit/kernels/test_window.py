"""Attention within a window against its definition, a query at a time: survivors, other keys, combination tokens."""

from collections.abc import Sequence
from itertools import chain

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import tokensieve.kernels.window as module
from tokensieve.kernels.window import Rows, attend_within, keys_seen

HEADS, SIZE, WINDOW = 2, 8, 6
Documents = Sequence[Sequence[int]]

ALL = [range(50), range(1), range(7), range(23)]
SURVIVORS = [[0, 9, 10, 11, 30, 36, 37, 60], [5], [0, 1, 2, 99], list(range(0, 300, 3))]
DENSE = [range(61), range(8), range(100), range(300)]
M = (-1, -1, -1)
CASES: dict[str, tuple[Documents, Documents | None]] = {
    "all tokens": (ALL, None),
    "survivors": (SURVIVORS, None),
    "survivors see those that leave": (SURVIVORS, DENSE),
    "all tokens see survivors": (DENSE, SURVIVORS),
    "combination tokens": ([[*own, *M] for own in ALL], None),
    "survivors and combination tokens": ([[*own, *M] for own in SURVIVORS], None),
    "with combination tokens, other keys": (
        [[*own, *M] for own in DENSE],
        [[*own, *M] for own in SURVIVORS],
    ),
    "combination tokens alone": ([M, M], None),
    "no key in the window": ([range(40)], [[39]]),
}
each_case = pytest.mark.parametrize(("queries", "keys"), CASES.values(), ids=CASES)


def rows_of(documents: Documents, sets: int = 1) -> Rows:
    return Rows(torch.tensor([list(chain(*documents))] * sets), tuple(map(len, documents)))


def packed(documents: Documents) -> Tensor:
    return torch.randn(sum(map(len, documents)), HEADS, SIZE, requires_grad=True)


def naive(query: Tensor, key: Tensor, value: Tensor, queries: Documents, keys: Sequence[Documents]) -> Tensor:
    """Attention of each query and head; `keys` are the positions that each head has."""
    context = torch.zeros(len(query), HEADS, SIZE)
    q_start = k_start = 0
    for number, own in enumerate(queries):
        for h in range(HEADS):
            seen = keys[h][number]
            for place, position in enumerate(own):
                rows = [i for i, at in enumerate(seen) if -1 in (at, position) or abs(at - position) <= WINDOW]
                if rows:
                    picked = torch.tensor(rows) + k_start
                    logits = key[picked, h] @ query[q_start + place, h] / SIZE**0.5
                    context[q_start + place, h] = logits.softmax(0) @ value[picked, h]
        q_start, k_start = q_start + len(own), k_start + len(keys[0][number])
    return context.flatten(1)


@each_case
@pytest.mark.parametrize("block", [4, 64])
def test_each_query(queries: Documents, keys: Documents | None, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    torch.manual_seed(0)
    tensors = [packed(queries), packed(keys or queries), packed(keys or queries)]
    seen = None if keys is None else rows_of(keys)
    combination = sum(position == -1 for position in queries[0])
    context = attend_within(WINDOW, *tensors, rows_of(queries), seen, combination=combination)
    expected = naive(*tensors, queries, [keys or queries] * HEADS)
    torch.testing.assert_close(context, expected, atol=1e-5, rtol=1e-4)
    weights = torch.randn_like(context)
    ours = torch.autograd.grad((context * weights).sum(), tensors)
    theirs = torch.autograd.grad((expected * weights).sum(), tensors)
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other, atol=1e-5, rtol=1e-3)
    with torch.no_grad():
        again = attend_within(WINDOW, *tensors, rows_of(queries), seen, combination=combination)
    torch.testing.assert_close(again, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["survivors", "survivors see those that leave", "survivors and combination tokens"])
@pytest.mark.parametrize("block", [4, 64])
@torch.no_grad()
def test_a_key_that_stands_for_many_is_as_many_equal_keys(
    name: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    queries, keys = CASES[name]
    sources = keys or queries
    query, key, value = packed(queries), packed(sources), packed(sources)
    positions = list(chain(*sources))
    counts = torch.tensor([1 if at == -1 else 1 + at % 3 for at in positions])
    context = attend_within(
        WINDOW,
        query,
        key,
        value,
        rows_of(queries),
        None if keys is None else rows_of(keys),
        combination=sum(position == -1 for position in queries[0]),
        sizes=counts.float(),
    )
    copies = [[at for at in own for _ in range(1 if at == -1 else 1 + at % 3)] for own in sources]
    many = [own.repeat_interleave(counts, 0) for own in (key, value)]
    torch.testing.assert_close(context, naive(query, *many, queries, [copies] * HEADS), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("combination", [0, 3])
@pytest.mark.parametrize("block", [4, 64])
@torch.no_grad()
def test_every_head_has_keys_of_its_own(combination: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    added = M[:combination]
    one = [[*own, *added] for own in SURVIVORS]
    other = [[*(position + 1 for position in own), *added] for own in SURVIVORS]
    queries = [[*own, *added] for own in DENSE]
    tensors = [packed(queries), packed(one), packed(one)]
    keys = Rows(torch.tensor([list(chain(*one)), list(chain(*other))]), tuple(map(len, one)))
    context = attend_within(WINDOW, *tensors, rows_of(queries), keys, combination=combination)
    torch.testing.assert_close(context, naive(*tensors, queries, [one, other]), atol=1e-5, rtol=1e-4)


def multiplied(tokens: int) -> int:
    """FLOPs of one document of so many tokens, which torch counts where attention is not fused."""
    tensors = [packed([range(tokens)]) for _ in range(3)]
    with FlopCounterMode(display=False) as counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        attend_within(64, *tensors, rows_of([range(tokens)]), None)
    return counter.get_total_flops()


def test_the_cost_is_that_of_the_window() -> None:
    assert multiplied(8192) == 2 * multiplied(4096)
    assert multiplied(4096) == 4 * HEADS * SIZE * 4096 * keys_seen(64, 4096)
    assert keys_seen(64, 4096) < 4096 / 20
    assert keys_seen(64, 100) == 100


@torch.no_grad()
def test_no_tensor_grows_faster_than_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest tensor that attention is given, in elements for each query."""
    largest: list[float] = []
    original = torch.nn.functional.scaled_dot_product_attention

    def note(q: Tensor, k: Tensor, v: Tensor, *, attn_mask: Tensor, dropout_p: float) -> Tensor:
        largest.append(max(k.untyped_storage().size() / 4, attn_mask.numel()))
        return original(q, k, v, attn_mask=attn_mask)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", note)
    for tokens in (2048, 8192):
        attend_within(64, *(packed([range(tokens)]) for _ in range(3)), rows_of([range(tokens)]), None)
    assert largest[1] <= 4 * largest[0]
