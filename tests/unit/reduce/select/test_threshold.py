"""The threshold against the rule written down in plain Python with exact fractions, and by hand."""

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contract import oracle
from tokensieve import ConfigError
from tokensieve.reduce.rows import KeyRows, select_rows
from tokensieve.reduce.select.threshold import Threshold
from tokensieve.tokens import Tokens

HALF = Fraction(1, 2)
SCALE = 2**16


def kept(
    select: Threshold, scores: Any, protected: list[bool], share: Fraction = HALF, is_log: bool = False
) -> list[list[int]]:
    """Positions that stay of one document, for each set of scores [S, t]."""
    scores = torch.tensor(np.asarray(scores), dtype=torch.float32)
    number = scores.shape[1]
    tokens = Tokens(
        values=torch.zeros(number, 1),
        lengths=(number,),
        origin=torch.arange(number),
        protected=torch.tensor(protected),
        protected_counts=(sum(protected),),
    )
    rows = KeyRows(torch.arange(number).expand(len(scores), -1), (number,))
    found: list[list[int]] = select_rows(select, share, scores, rows, tokens, [False], is_log).rows.tolist()
    return found


def rule(select: Threshold, is_log: bool = False) -> SimpleNamespace:
    """The settings as the oracle reads them."""
    return SimpleNamespace(
        pruning="threshold",
        ratio_scope="all",
        keep_ratio=0.5,
        min_tokens=select.min_tokens,
        threshold=select.threshold,
        relative=select.relative,
        score_is_log=is_log,
    )


@given(
    length=st.integers(1, 200),
    sets=st.sampled_from([1, 4]),
    steps=st.sampled_from([1, 5, 2**16]),
    seed=st.integers(0, 10**6),
    protect=st.sampled_from([0.0, 0.3, 1.0]),
    select=st.builds(
        Threshold,
        min_tokens=st.sampled_from([1, 9]),
        threshold=st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5, 4.0]),
        relative=st.sampled_from(["mean", "maximum", "nothing"]),
    ),
)
def test_selection_is_the_rule(
    length: int, sets: int, steps: int, seed: int, protect: float, select: Threshold
) -> None:
    """The scores are multiples of a power of two, so that the comparison is exact on both sides."""
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, steps, (sets, length)) / SCALE
    protected = (generator.random(length) < protect).tolist()
    expected = oracle.select(rule(select), scores.tolist(), protected)
    found = kept(select, scores, protected)
    assert found == expected
    fewest, most = select.bounds(length, sum(protected), HALF)
    assert all(fewest <= len(own) <= most for own in found)


def test_by_hand() -> None:
    """Scores 1, 2, 3, 6 have the mean 3 and the maximum 6; the protected 100 is in neither, and stays."""
    scores, protected = [[1.0, 2, 3, 6, 100]], [False] * 4 + [True]
    for changes, expected in (
        ({}, [2, 3, 4]),
        ({"threshold": 0.5}, [1, 2, 3, 4]),
        ({"threshold": 0.5, "relative": "maximum"}, [2, 3, 4]),
        ({"threshold": 4.0, "relative": "nothing"}, [3, 4]),
        ({"threshold": 7.0, "relative": "nothing"}, [4]),
        ({"threshold": 7.0, "relative": "nothing", "min_tokens": 3}, [2, 3, 4]),
        ({"threshold": 0.0}, [0, 1, 2, 3, 4]),
    ):
        assert kept(Threshold(**changes), scores, protected) == [expected], changes  # type: ignore[arg-type]


def test_a_difference_of_logarithms_is_a_factor() -> None:
    """Logarithms of 1, 2, 4 and 16, however far they are moved; absolute, where they are."""
    logs, none = np.log([[1.0, 2, 4, 16]]), [False] * 4
    for shift in (-500.0, 0.0, 500.0):
        assert kept(Threshold(threshold=0.249, relative="maximum"), logs + shift, none, is_log=True) == [[2, 3]]
        assert kept(Threshold(threshold=0.6), logs + shift, none, is_log=True) == [[2, 3]], "of a mean of 5.75"
    assert kept(Threshold(threshold=1.9, relative="nothing"), logs, none, is_log=True) == [[1, 2, 3]]
    assert kept(Threshold(threshold=1.9, relative="nothing"), logs - 2, none, is_log=True) == [[3]]


def test_share_1_prunes_nothing() -> None:
    select = Threshold(threshold=1e6)
    assert kept(select, [[1.0, 2, 3]], [False] * 3, Fraction(1)) == [[0, 1, 2]]
    assert select.counts((3, 5), (0, 0), Fraction(1)) == (3, 5)
    assert select.counts((3, 5), (0, 0), HALF) is None
    assert select.bounds(9, 2, Fraction(1)) == (9, 9)


@pytest.mark.parametrize("relative", ["mean", "maximum"])
def test_equal_scores_stay_together(relative: Any) -> None:
    """0.1 has no exact float32, and a sum of 77 of them is not 77 times it in float32."""
    assert kept(Threshold(relative=relative), [[0.1] * 77], [False] * 77) == [[*range(77)]]
    assert kept(Threshold(relative=relative), [[0.0] * 5], [False] * 5) == [[*range(5)]], "all alike, and nothing"


@pytest.mark.parametrize(
    "wrong",
    [{"threshold": -0.1}, {"threshold": "much"}, {"relative": "median"}, {"fit": 1}, {"min_tokens": 0}],
    ids=str,
)
def test_wrong_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Threshold(**wrong)
