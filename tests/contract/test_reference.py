"""The ragged forward against the padded reference, and against the method written down once more, for every variant."""

import pytest
import torch

from contract import oracle
from contract.variants import SPREADING, UNEQUAL, VARIANTS, WRITTEN, batch, documents, settings, tiny_model
from flat import flat_of
from tokensieve import ReductionConfig
from tokensieve.model.reference import reference_forward

each_variant = pytest.mark.parametrize("reduction", VARIANTS.values(), ids=VARIANTS.keys())
each_pruning_variant = pytest.mark.parametrize("reduction", SPREADING.values(), ids=SPREADING.keys())


@torch.no_grad()
def agrees_with_reference(reduction: ReductionConfig, lengths: tuple[int, ...]) -> None:
    model, inputs = tiny_model(reduction), batch(documents(lengths))
    output = model(**inputs)
    logits, masks = reference_forward(model, **inputs)
    torch.testing.assert_close(output.logits, logits, atol=1e-5, rtol=0)
    counted = [set(map(tuple, mask.sum(-1).T.tolist())) for mask in masks]  # one set of counts, whatever the head
    assert counted == [{kept} for kept in output.trace.kept]


@each_variant
def test_ragged_is_reference(reduction: ReductionConfig) -> None:
    agrees_with_reference(reduction, UNEQUAL)


@pytest.mark.parametrize("lengths", [(1,), (2, 2), (64, 64, 64), (1, 64, 1), (3, 63, 62, 5, 4)], ids=str)
@pytest.mark.parametrize(
    "changes", [{}, {"site": "hidden"}, {"heads": "per_head"}, {"ratio_scope": "candidates"}], ids=str
)
def test_ragged_is_reference_for_awkward_lengths(changes: dict[str, str], lengths: tuple[int, ...]) -> None:
    agrees_with_reference(settings(combine_layer=4, **changes), lengths)


@pytest.mark.parametrize("reduction", WRITTEN.values(), ids=WRITTEN.keys())
@torch.no_grad()
def test_ragged_is_the_method(reduction: ReductionConfig) -> None:
    model, texts = tiny_model(reduction), documents(UNEQUAL)
    output = model(**batch(texts))
    expected, kept = zip(*(oracle.logits(model, ids) for ids in texts), strict=True)
    torch.testing.assert_close(output.logits, torch.stack(expected), atol=1e-5, rtol=0)
    ahead = (
        0 if flat_of(reduction).site == "hidden" else 1
    )  # scores choose this layer's survivors, or the next layer's keys
    for layer, sets in enumerate(zip(*kept, strict=True)):
        assert output.trace.kept[layer + ahead] == tuple(len(own[0]) for own in sets)


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
    model, texts = tiny_model(settings(combine_layer=3, **changes)), documents(UNEQUAL)
    expected = torch.stack([oracle.logits(model, ids)[0] for ids in texts])
    torch.testing.assert_close(model(**batch(texts)).logits, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(reference_forward(model, **batch(texts))[0], expected, atol=1e-5, rtol=0)
    scope = changes.get("ratio_scope", "all")
    default = tiny_model(settings(combine_layer=3, ratio_scope=scope))  # the same weights
    assert (default(**batch(texts)).logits - expected).abs().max() > 1e-3
