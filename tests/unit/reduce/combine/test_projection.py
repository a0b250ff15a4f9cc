"""The projection against its equations, a token and a document at a time."""

import math
from typing import Any

import pytest
import torch

from tokensieve import ConfigError
from tokensieve.reduce.combine.projection import Projection, SequenceProjection
from tokensieve.tokens import Tokens

WIDTH, M = 16, 4
LENGTHS = (1, 9, 30, 30, 2)


def make_tokens(lengths: tuple[int, ...] = LENGTHS) -> Tokens:
    """Documents of `lengths` random tokens."""
    total = sum(lengths)
    return Tokens(
        values=torch.randn(total, WIDTH),
        lengths=lengths,
        origin=torch.cat([torch.arange(length) for length in lengths]),
        protected=torch.zeros(total, dtype=torch.bool),
        protected_counts=(0,) * len(lengths),
    )


def make(**changes: Any) -> SequenceProjection:
    return Projection(tokens=M, **changes).module(WIDTH, 1e-12)


@pytest.mark.parametrize("changes", [{}, {"by": "position", "buckets": 7}, {"by": "position"}], ids=str)
@torch.no_grad()
def test_module_is_its_equations(changes: dict[str, Any]) -> None:
    module, tokens = make(**changes), make_tokens()
    module.weight.normal_()
    after, joined = module(tokens)
    expected, most = [], []
    for text in tokens.values.split(list(LENGTHS)):
        rows = []
        for own in module.weight:
            if changes:
                logits = [float(own[j * len(own) // len(text)]) for j in range(len(text))]
            else:
                normed = (text - text.mean(1, keepdim=True)) / (text.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
                logits = [float(own @ row) / math.sqrt(WIDTH) for row in normed]
            rows.append([math.exp(logit) / sum(map(math.exp, logits)) for logit in logits])
            expected.append(sum(part * row for part, row in zip(rows[-1], text, strict=True)))
        most += [max(range(M), key=lambda i, rows=rows, j=j: rows[i][j]) for j in range(len(text))]
    torch.testing.assert_close(after.values, torch.stack(expected), atol=1e-5, rtol=1e-5)
    assert joined.tolist() == most
    assert after.lengths == (M,) * len(LENGTHS) and after.text_lengths == (0,) * len(LENGTHS)
    assert after.combination == M


@torch.no_grad()
def test_by_position_it_starts_as_stretches() -> None:
    """Of 40 tokens each of four takes most of its ten, and most from their middle."""
    _, joined = make(by="position")(make_tokens((40,)))
    own = [number for number in range(4) for _ in range(10)]
    assert sum(map(int.__eq__, joined.tolist(), own)) >= 36, "all but those between two stretches"
    weights = make(by="position").weights(torch.zeros(1, 40, WIDTH))[0]
    assert [int(row.argmax()) // 10 for row in weights] == [0, 1, 2, 3]
    assert all(float(row[10 * i : 10 * i + 10].sum()) > 0.6 for i, row in enumerate(weights))


def test_nothing_stands_among_the_text() -> None:
    cell = Projection(tokens=M)
    assert not cell.joins_text and cell.fitted and cell.mode == "insert"
    assert cell.flops(WIDTH, 10) == 2 * 2 * WIDTH * M * 10
    assert Projection(tokens=M, by="position").flops(WIDTH, 10) == 2 * WIDTH * M * 10


@pytest.mark.parametrize("wrong", [{"by": "size"}, {"buckets": 0}, {"tokens": 0}, {"layer": 0}], ids=str)
def test_wrong_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Projection(**wrong)
