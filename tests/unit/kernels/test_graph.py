"""Votes between the rows of a document, against the definition: one row, one head, one round at a time."""

import math

import pytest
import torch
from torch import Tensor

import tokensieve.kernels.graph as graph_module
from tokensieve.kernels.graph import Graph

HEADS, SIZE = 3, 8
LENGTHS = (5, 5, 1, 9, 9, 9, 5)


def graph(exempt: tuple[int, ...] = (), sizes: Tensor | None = None) -> Graph:
    torch.manual_seed(0)
    rows = torch.randn(2, sum(LENGTHS), HEADS, SIZE)
    out = tuple(number in exempt for number in range(len(LENGTHS)))
    return Graph(rows[0], rows[1], LENGTHS, out, sizes=sizes)


def by_definition(seen: Graph, document: int, start: Tensor, rounds: int, among: Tensor) -> Tensor:
    """[H, n], of the rows of `among` alone, whose attention is the softmax over them."""
    begin = sum(LENGTHS[:document])
    places = begin + among.nonzero().squeeze(1)
    found = torch.zeros(HEADS, LENGTHS[document])
    for head in range(HEADS):
        logits = seen.query[places, head] @ seen.key[places, head].T / math.sqrt(SIZE)
        if seen.sizes is not None:
            logits = logits + seen.sizes[places].log()
        given, held = logits.softmax(1), start[among]
        for _ in range(rounds):
            held = sum(held[j] * given[j] for j in range(len(held)))
        found[head, among] = held
    return found


@pytest.mark.parametrize("elements", [1, 200, 1 << 20])
@pytest.mark.parametrize("sized", [False, True])
@pytest.mark.parametrize("some", [False, True])
def test_votes(elements: int, sized: bool, some: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many documents and heads are held at once; among all rows, and among some."""
    monkeypatch.setattr(graph_module, "_ELEMENTS", elements)
    seen = graph(sizes=torch.rand(sum(LENGTHS)) * 3 + 0.5 if sized else None)
    checked = 0
    for numbers, rows, votes in seen.documents():
        documents, _, length, _ = votes.query.shape
        start = torch.rand(documents, length)
        among = torch.ones(documents, length, dtype=torch.bool)
        if some and length > 1:
            among[:, 1::2] = False
        found = votes.count(start, 3, among if some else None)
        for place, document in enumerate(range(numbers.start, numbers.stop)):
            assert rows.start + place * length == sum(LENGTHS[:document])
            expected = by_definition(seen, document, start[place], 3, among[place])
            torch.testing.assert_close(found[place], expected, atol=1e-6, rtol=1e-4)
            checked += 1
    assert checked == len(LENGTHS)


def test_what_is_held_is_shared_out_and_stays_as_much() -> None:
    for _, _, votes in graph().documents():
        documents, _, length, _ = votes.query.shape
        held = votes.count(torch.ones(documents, length), 40)
        torch.testing.assert_close(held.sum(-1), torch.full((documents, HEADS), float(length)))


def test_exempt_documents_are_left_out() -> None:
    numbers = [range(*part.indices(len(LENGTHS))) for part, _, _ in graph(exempt=(1, 4)).documents()]
    assert sorted(number for part in numbers for number in part) == [0, 2, 3, 5, 6]


def test_no_more_is_held_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_module, "_ELEMENTS", 2 * HEADS * 81)
    together = [votes.query.shape[0] for _, _, votes in graph().documents()]
    assert together == [2, 1, 2, 1, 1]


def test_keys_of_all_heads() -> None:
    seen = graph()
    _, rows, votes = next(iter(seen.documents()))
    assert torch.equal(votes.keys.flatten(0, 1), seen.key[rows].flatten(1))
