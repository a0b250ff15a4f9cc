"""Configurations (s, q, l, m): their settings, and grids that cannot be."""

from dataclasses import replace
from typing import Any

import pytest

from tokensieve import ConfigError, ReductionConfig
from tokensieve.reduce.merge.most_similar import MostSimilar
from tokensieve.tune.configurations import Configuration, Grid


def test_a_configuration_is_the_preset_with_its_values() -> None:
    preset = ReductionConfig.preset("quantile")
    assert Configuration(32, 0.5, 2).settings == preset
    merged = Configuration(12, 0.1, 3, True).settings
    assert merged.min_length == 12
    assert merged.shares(6) == (1, 1, 0.9, 1, 1, 1), "the share of 1 - 0.1 is written with its digits"
    assert merged.prune is not None
    assert merged.prune.merge == MostSimilar()
    assert replace(merged.prune, merge=None, schedule=preset.prune.schedule) == preset.prune  # type: ignore[union-attr]


def test_a_grid_is_every_combination_once() -> None:
    grid = Grid((1, 8), (0.2, 0.4), (2,), (False, True))
    assert grid.without_length() == [
        Configuration(0, quantile, 2, merged) for quantile in (0.2, 0.4) for merged in (False, True)
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"quantiles": (0.0,)},
        {"quantiles": (1.0,)},
        {"layers": (0,)},
        {"min_lengths": (-1,)},
        {"merged": (2,)},
        {"layers": ()},
    ],
)
def test_values_out_of_range(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        Grid(**values)
