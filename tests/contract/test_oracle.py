"""The ragged forward against the method written down once more, for every variant and every method."""

from typing import Any

import pytest
import torch

from contract import oracle
from contract.variants import UNEQUAL, batch, documents, each_variant, settings, tiny_model
from tokensieve import ReductionConfig


@torch.no_grad()
def agrees_with_the_oracle(
    reduction: ReductionConfig, lengths: tuple[int, ...] = UNEQUAL, atol: float = 1e-5, rtol: float = 0.0, **sizes: Any
) -> None:
    """Logits, and the kept counts of every step."""
    model, inputs = tiny_model(reduction, **sizes), batch(documents(lengths))
    output = model(**inputs)
    logits, kept = oracle.answers(model, **inputs)
    torch.testing.assert_close(output.logits, logits, atol=atol, rtol=rtol)
    assert output.trace.kept == kept


@each_variant
def test_ragged_is_the_method(reduction: ReductionConfig) -> None:
    agrees_with_the_oracle(reduction)


@pytest.mark.parametrize("lengths", [(1,), (2, 2), (64, 64, 64), (1, 64, 1), (3, 63, 62, 5, 4)], ids=str)
@pytest.mark.parametrize(
    "changes", [{}, {"site": "hidden"}, {"heads": "per_head"}, {"ratio_scope": "candidates"}], ids=str
)
def test_ragged_is_the_method_for_awkward_lengths(changes: dict[str, str], lengths: tuple[int, ...]) -> None:
    agrees_with_the_oracle(settings(combine_layer=4, **changes), lengths)


@pytest.mark.parametrize(
    "changes",
    [
        {"combine_count_offset": 1.0},
        {"combination_tokens": 1},
        {"alpha_unimportant": 0.5, "ratio_scope": "candidates"},
        {"alpha_important": 0.7, "ratio_scope": "candidates"},
        {"min_length": 18},
        {"keep_ratio": 0.05},
    ],
    ids=str,
)
@torch.no_grad()
def test_open_settings_do_what_they_say(changes: dict[str, object]) -> None:
    model, inputs = tiny_model(settings(combine_layer=3, **changes)), batch(documents(UNEQUAL))
    expected, _ = oracle.answers(model, **inputs)
    torch.testing.assert_close(model(**inputs).logits, expected, atol=1e-5, rtol=0)
    scope = changes.get("ratio_scope", "all")
    default = tiny_model(settings(combine_layer=3, ratio_scope=scope))  # the same weights
    assert (default(**inputs).logits - expected).abs().max() > 1e-3
