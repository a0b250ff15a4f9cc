"""Pairs by hand: who leaves, who may take, and that never more than half of the free tokens leave."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tokensieve import ConfigError
from tokensieve.reduce.contract import Scored
from tokensieve.reduce.rows import KeyRows, select_rows
from tokensieve.reduce.select.pairs import Pairs, Targets
from tokensieve.tokens import Tokens


def tokens(lengths: tuple[int, ...], protected: list[int], m: int = 0) -> Tokens:
    """Rows without values; the last m of each document are combination tokens."""
    total = sum(lengths)
    safe = torch.zeros(total, dtype=torch.bool).index_fill(0, torch.tensor(protected, dtype=torch.long), True)
    counts = tuple(int(own.sum()) for own in safe.split(list(lengths)))
    return Tokens(torch.zeros(total, 1), lengths, torch.zeros(total, dtype=torch.long), safe, counts, m)


def chosen(pairs: Pairs, share: Fraction, scores: list[float], own: Tokens) -> KeyRows:
    rows = torch.arange(len(scores)).unsqueeze(0)
    return select_rows(
        pairs, share, torch.tensor([scores]), KeyRows(rows, own.lengths), own, [False] * len(own.lengths)
    )


def test_alternate_by_hand() -> None:
    """[CLS] 1 2 3 4 5 [SEP]: 1, 3 and 5 may leave, 2 and 4 take; 2 has the lowest score of all and stays."""
    own = tokens((7,), [0, 6])
    kept = chosen(Pairs(), Fraction(5, 7), [0.0, 0.5, -9.0, 0.1, 0.3, 0.2, 0.0], own)
    assert kept.rows.tolist() == [[0, 1, 2, 4, 6]]
    assert kept.takes is not None
    assert kept.takes.tolist() == [[False, False, True, True, False]]


def test_next_by_hand() -> None:
    """The two lowest scores leave, the two lowest of those that are left take."""
    own = tokens((7,), [0, 6])
    kept = chosen(Pairs("next"), Fraction(5, 7), [0.0, 0.5, -9.0, 0.1, 0.3, 0.2, 0.0], own)
    assert kept.rows.tolist() == [[0, 1, 4, 5, 6]]
    assert kept.takes is not None
    assert kept.takes.tolist() == [[False, False, True, True, False]]


def test_combination_tokens_take_nothing_and_stay() -> None:
    own = tokens((5, 6), [0, 5], m=2)  # one document with three text tokens, one with four
    kept = chosen(Pairs("next"), Fraction(1, 2), [9.0, 1.0, 2.0, 0.0, 0.0, 9.0, 3.0, 1.0, 2.0, 0.0, 0.0], own)
    assert kept.rows.tolist() == [[0, 2, 3, 4, 5, 6, 8, 9, 10]]
    assert kept.takes is not None
    assert kept.takes[0].nonzero().flatten().tolist() == [1, 6]


@given(
    length=st.integers(1, 40),
    percent=st.integers(1, 100),
    targets=st.sampled_from(["alternate", "next"]),
    fewest=st.integers(1, 12),
    data=st.data(),
)
def test_at_most_half_of_the_free_leave_and_as_many_can_take(
    length: int, percent: int, targets: Targets, fewest: int, data: st.DataObject
) -> None:
    protected = data.draw(st.sets(st.integers(0, length - 1), max_size=4))
    scores = data.draw(st.lists(st.integers(-3, 3).map(float), min_size=length, max_size=length))  # some are equal
    pairs, share, own = Pairs(targets, fewest), Fraction(percent, 100), tokens((length,), sorted(protected))
    kept, free = chosen(pairs, share, scores, own), length - len(protected)
    wanted = max(1, len(protected), length * percent // 100, min(length, fewest), length - free // 2)
    assert kept.lengths == (wanted,) == pairs.counts((length,), (len(protected),), share)
    assert pairs.bounds(length, len(protected), share) == (wanted, wanted)
    assert protected <= set(kept.rows[0].tolist())
    assert kept.takes is not None
    takers = set(kept.rows[0][kept.takes[0]].tolist())
    assert len(takers) >= min(1, length - wanted)
    assert not takers & protected
    if targets == "next":
        assert len(takers) == length - wanted


def test_batches_do_not_matter() -> None:
    """Documents of different lengths, padded beside each other, choose as each does alone."""
    scores = [[3.0, 1.0, 2.0], [0.0, 4.0, 1.0, 3.0, 2.0, 5.0]]
    for targets in ("alternate", "next"):
        together = chosen(Pairs(targets), Fraction(1, 2), sum(scores, []), tokens((3, 6), []))  # noqa: RUF017
        assert together.takes is not None
        start = 0
        for own in scores:
            alone = chosen(Pairs(targets), Fraction(1, 2), own, tokens((len(own),), []))
            assert alone.takes is not None
            inside = (together.rows[0] >= start) & (together.rows[0] < start + len(own))
            assert (together.rows[0][inside] - start).tolist() == alone.rows[0].tolist()
            assert together.takes[0][inside].tolist() == alone.takes[0].tolist()
            start += len(own)


def test_refused() -> None:
    with pytest.raises(ConfigError, match="targets='both': choose one of 'alternate', 'next'"):
        Pairs("both")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="min_tokens=0"):
        Pairs(min_tokens=0)


def test_others_choose_no_takers() -> None:
    from tokensieve.reduce.select.top_share import TopShare

    flags = torch.ones(1, 1, 3, dtype=torch.bool)
    assert TopShare().takers(Scored(torch.zeros(1, 1, 3), flags, ~flags, (3,), (0,)), Fraction(1, 2)) is None
