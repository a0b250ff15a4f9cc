"""Settings at dotted paths: a part that is not there is named, whatever it was to become."""

import pytest

from tokensieve import ConfigError, ReductionConfig
from tokensieve.config.assigned import with_assignments
from tokensieve.settings_paths import Assignment


@pytest.mark.parametrize("value", [None, "most-similar"])
def test_a_setting_of_a_part_that_is_not_there(value: str | None) -> None:
    with pytest.raises(ConfigError, match=r"prune\.merge: there is no prune .*give prune\.select too"):
        with_assignments(ReductionConfig.preset("dense"), [Assignment(("prune", "merge"), value)])


def test_a_part_may_be_taken_away() -> None:
    assert with_assignments(ReductionConfig.preset("fast"), [Assignment(("defer",), None)]).defer is None
