"""How many tokens stay and in which layers: exact decimals, and the steps of every arrangement."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.oracle import floor_share
from flat import reduction
from tokensieve import ConfigError, ReductionConfig
from tokensieve.model.steps import encoder_steps
from tokensieve.reduce.schedule import Even, LastLayers, Open, Spaced, exact_ratio, next_count


@pytest.mark.parametrize(
    ("ratio", "count", "expected"), [(0.7, 10, 7), (0.29, 100, 29), (0.57, 100, 57), (0.58, 50, 29)]
)
def test_float_products_that_mislead(ratio: float, count: int, expected: int) -> None:
    assert next_count(count, 0, exact_ratio(ratio)) == expected


def test_every_percentage_of_every_length() -> None:
    wrong = [
        (percent, count)
        for percent in range(1, 101)
        for count in range(1, 601)
        if next_count(count, 0, exact_ratio(percent / 100)) != max(1, percent * count // 100)
    ]
    assert not wrong
    by_float = sum(
        int(count * (percent / 100)) != percent * count // 100 for percent in range(1, 101) for count in range(1, 601)
    )
    assert by_float > 20, "the float product is no longer a trap; this test has lost its point"


@given(
    ratio=st.decimals("0.0001", "1", places=4).map(float),
    count=st.integers(1, 100_000),
    protected=st.integers(0, 100),
    fewest=st.integers(1, 100),
)
def test_next_count(ratio: float, count: int, protected: int, fewest: int) -> None:
    wanted = max(1, protected, floor_share(ratio, count))
    assert next_count(count, protected, exact_ratio(ratio)) == wanted
    assert next_count(count, protected, exact_ratio(ratio), fewest) == max(wanted, min(count, fewest))
    assert exact_ratio(ratio) == Decimal(repr(ratio))


def test_the_papers_series() -> None:
    """t = 512, p = 0.9, special tokens protected: what eleven pruning steps leave."""
    counts = [512]
    for _ in range(11):
        counts.append(next_count(counts[-1], 2, exact_ratio(0.9)))
    assert counts == [512, 460, 414, 372, 334, 300, 270, 243, 218, 196, 176, 158]


STEPS = {
    # Layers as numbers, the module as C; * marks those whose scores choose the next keys, or who leave here.
    "P": (reduction(pruning="ratio"), "1* 2* 3* 4"),
    "P hidden": (reduction(pruning="ratio", site="hidden"), "1* 2* 3* 4*"),
    "dense": (reduction(pruning="none"), "1 2 3 4"),
    "C": (reduction(pruning="none", combine_layer=3), "1 2 C 4"),
    "first": (reduction(combine_layer=1), "C 2 3 4"),
    "middle": (reduction(combine_layer=3), "1* 2 C 4"),
    "last": (reduction(combine_layer=4), "1* 2* 3 C"),
    "hidden middle": (reduction(combine_layer=3, site="hidden"), "1* 2* C 4"),
    "insert first": (reduction(combine_layer=1, combine_mode="insert"), "C 1 2 3 4"),
    "insert": (reduction(combine_layer=3, combine_mode="insert"), "1* 2 C 3 4"),
    "insert at the end": (reduction(combine_layer=5, combine_mode="insert"), "1* 2* 3* 4 C"),
    "hidden, at the end": (reduction(combine_layer=5, combine_mode="insert", site="hidden"), "1* 2* 3* 4* C"),
}


@pytest.mark.parametrize(("config", "expected"), STEPS.values(), ids=STEPS)
def test_steps(config: ReductionConfig, expected: str) -> None:
    steps = encoder_steps(config, 4)
    drawn = [("C" if step.source is None else str(step.source + 1)) + "*" * (step.prune is not None) for step in steps]
    assert " ".join(drawn) == expected
    assert {step.prune for step in steps} <= {None, config.prune}
    assert all((step.kind == "combine") == (step.source is None) for step in steps)


@pytest.mark.parametrize(("mode", "layer"), [("replace", 5), ("insert", 6)])
def test_layers_out_of_range(mode: str, layer: int) -> None:
    with pytest.raises(ConfigError, match=f"combine.layer={layer}"):
        encoder_steps(reduction(combine_layer=layer, combine_mode=mode), 4)


@pytest.mark.parametrize("last", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("layers", [1, 4, 12])
def test_even_takes_as_many_in_each_layer(last: float, layers: int) -> None:
    """To within the tokens that rounding down loses: one a layer, and what four decimals of a share are of 1,000."""
    counts = [1000]
    for share in Even(last).expand(layers):
        counts.append(next_count(counts[-1], 0, exact_ratio(share)))
    leaving = [before - after for before, after in pairwise(counts)]
    assert all(abs(count - 1000 * (1 - last) / layers) <= 2 for count in leaving)
    assert counts[-1] == pytest.approx(1000 * last, abs=layers + 1)


@pytest.mark.parametrize(("layers", "expected"), [(5, (1, 1, 0.6, 0.6, 0.6)), (2, (0.6, 0.6)), (0, ())])
def test_last_layers(layers: int, expected: tuple[float, ...]) -> None:
    assert LastLayers(3, 0.6).expand(layers) == expected


def test_even_needs_a_share() -> None:
    assert Even().expand(0) == ()
    with pytest.raises(ConfigError, match="last=0: give a number in"):
        Even(0)


def test_open_says_in_which_layers_alone() -> None:
    assert [share < 1 for share in Open(first=3).expand(4)] == [False, False, True, True]
    with pytest.raises(ConfigError, match="first=5: 4 layers can prune; give 1 to 4"):
        Open(first=5).expand(4)


@pytest.mark.parametrize(
    ("layers", "number", "pruning"),
    [(12, 3, [3, 6, 9]), (6, 3, [2, 3, 5]), (4, 3, [1, 2, 3]), (2, 3, [1]), (1, 3, []), (0, 3, []), (12, 1, [6])],
)
def test_spaced(layers: int, number: int, pruning: list[int]) -> None:
    shares = Spaced(number, 0.7).expand(layers)
    assert len(shares) == layers
    assert [place for place, share in enumerate(shares, 1) if share < 1] == pruning
    assert {*shares} <= {0.7, 1.0}
