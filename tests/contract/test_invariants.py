"""What holds for every variant: batches do not matter, special tokens stay, nobody is left with nothing."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contract import oracle
from contract.choices import Choice, chosen, is_near_tie, parting
from contract.variants import (
    CLS,
    SEP,
    UNEQUAL,
    VARIANTS,
    batch,
    documents,
    each_pruning_variant,
    each_variant,
    layer_trace,
    settings,
    tiny_model,
)
from tokensieve import ReductionConfig, TokensieveForSequenceClassification
from tokensieve.reduce.schedule import Constant

PLACES = pytest.mark.parametrize(
    "where", [{}, {"heads": "per_head"}, {"site": "hidden"}, {"ratio_scope": "candidates"}], ids=str
)


@each_variant
@torch.no_grad()
def test_a_document_does_not_see_its_batch(reduction: ReductionConfig) -> None:
    model, texts = tiny_model(reduction), documents(UNEQUAL)
    alone = [model(**batch([ids])) for ids in texts]
    for side in ("right", "left"):
        together = model(**batch(texts, side, width=max(UNEQUAL) + 7))
        torch.testing.assert_close(together.logits, torch.cat([one.logits for one in alone]), atol=1e-5, rtol=0)
        assert together.trace.survivors() == [one.trace.survivors()[0] for one in alone]
        if reduction.combine is not None:
            assert together.trace.assignments() == [one.trace.assignments()[0] for one in alone]


@given(lengths=st.lists(st.integers(1, 600), min_size=1, max_size=4), data=st.data())
@torch.no_grad()
def test_order_and_company_do_not_matter(lengths: list[int], data: st.DataObject) -> None:
    reduction = data.draw(st.sampled_from([*VARIANTS.values()]))
    model, texts = tiny_model(reduction, max_position_embeddings=600), documents(lengths)
    order = data.draw(st.permutations(range(len(lengths))))
    one, before = chosen(model, batch(texts))
    other, after = chosen(model, batch([texts[i] for i in order], "left"))
    for place, document in enumerate(order):
        pair = parting(before[document], after[place])
        if pair is not None:
            assert is_near_tie(reduction, pair, protected_in(model, texts[document])), "other tokens without a near tie"
        else:
            assert other.trace.survivors()[place] == one.trace.survivors()[document]
            torch.testing.assert_close(other.logits[place], one.logits[document], atol=1e-5, rtol=0)


def protected_in(model: TokensieveForSequenceClassification, ids: list[int]) -> list[bool]:
    """For each token of a document, whether it may not leave."""
    special = oracle.protected_places(model.config, ids)
    return [model.settings.protect_special and place in special for place in range(len(ids))]


@pytest.mark.parametrize(
    ("score", "stay", "excused"),
    [
        (2.00002, [0, 3, 5], True),
        (2.1, [0, 3, 5], False),  # scored otherwise
        (2.0, [0, 3, 5], False),  # the lower of two scores
        (2.0, [0, 2, 3, 5], False),  # too many
    ],
)
def test_nothing_but_a_near_tie_excuses_other_tokens(score: float, stay: list[int], excused: bool) -> None:
    """Half of six tokens stay, of which the ends are protected: of the second and third the second, by 1e-5."""

    def choice(third: float, stay: list[int]) -> Choice:
        return Choice(Fraction(1, 2), [[*range(6)]], torch.tensor([[9.0, 1.0, 2.00001, third, 1.0, 9.0]]), [stay])

    pair = parting([choice(2.0, [0, 2, 5])], [choice(score, stay)])
    assert pair is not None
    assert is_near_tie(settings(pruning="ratio"), pair, [place in (0, 5) for place in range(6)]) == excused


@each_pruning_variant
@torch.no_grad()
def test_keeping_everything_is_not_pruning(reduction: ReductionConfig) -> None:
    plain = tiny_model(replace(reduction, prune=None))
    assert reduction.prune is not None
    model = tiny_model(replace(reduction, prune=replace(reduction.prune, schedule=Constant(1.0))))
    inputs = batch(documents(UNEQUAL))
    torch.testing.assert_close(model(**inputs).logits, plain(**inputs).logits, atol=1e-5, rtol=0)
    assert model(**inputs).trace.kept == plain(**inputs).trace.kept


@each_pruning_variant
def test_kept_sets_nest_and_hold_what_is_protected(reduction: ReductionConfig) -> None:
    texts = documents(UNEQUAL)
    texts[0][5] = SEP  # written in the text, which protects nothing
    layers = layer_trace(tiny_model(reduction), batch(texts))
    for document, ids in enumerate(texts):
        special = {0, len(ids) - 1} if reduction.protect_special else set()
        history = [[set(range(len(ids)))], *(layer[document] for layer in layers)]
        for before, after in pairwise(history):
            own = before if len(before) == len(after) else before * len(after)  # one set until the heads part
            assert all(new and special <= new <= old for old, new in zip(own, after, strict=True))
            assert len({len(new) for new in after}) == 1, "heads keep sets of different sizes"


def test_special_tokens_leave_where_nothing_protects_them() -> None:
    last = layer_trace(tiny_model(settings(protect_special=False, keep_ratio=0.3)), batch(documents(UNEQUAL)))[-1]
    assert any(not {0, length - 1} <= own[0] for length, own in zip(UNEQUAL, last, strict=True))


@PLACES
def test_without_known_ids_the_ends_are_protected(where: dict[str, str]) -> None:
    model = tiny_model(settings(keep_ratio=0.1, **where), special_token_ids=None)
    for side in ("right", "left"):
        for layer in layer_trace(model, batch(documents(UNEQUAL), side)):
            for length, sets in zip(UNEQUAL, layer, strict=True):
                assert all({0, length - 1} <= own for own in sets)


@PLACES
@pytest.mark.parametrize("combine_layer", [None, 3])
@torch.no_grad()
def test_a_document_of_special_tokens_alone_stays_whole(where: dict[str, str], combine_layer: int | None) -> None:
    model = tiny_model(settings(keep_ratio=0.1, combine_layer=combine_layer, **where))
    inputs = batch([[CLS] + [SEP] * 20, [CLS], [CLS, SEP]])
    output = model(**inputs, special_tokens_mask=torch.ones_like(inputs["input_ids"]))
    assert output.trace.survivors() == [[*range(21)], [0], [0, 1]]
    assert output.logits.isfinite().all()


@PLACES
@pytest.mark.parametrize("protect", [True, False])
@torch.no_grad()
def test_hardest_pruning_leaves_one_token(where: dict[str, str], protect: bool) -> None:
    """floor(t p) is 0 here; without protection one token stays, with it [CLS] and [SEP]."""
    model = tiny_model(
        settings(pruning="ratio", keep_ratio=0.01, protect_special=protect, **where | {"ratio_scope": "all"})
    )
    output = model(**batch(documents((1, 2, 50))))
    assert output.trace.kept[-1] == ((1, 2, 2) if protect else (1, 1, 1))
    assert output.logits.isfinite().all()


@PLACES
@torch.no_grad()
def test_short_documents_are_not_pruned(where: dict[str, str]) -> None:
    """Shorter than min_length, not as short; and still combined."""
    model = tiny_model(settings(min_length=17, combine_layer=4, **where))
    kept = model(**batch(documents(UNEQUAL))).trace.kept[2]
    for length, own in zip(UNEQUAL, kept, strict=True):
        assert (own == length) if length < 17 else (own < length)


def test_hidden_counts_one_layer_ahead() -> None:
    """40 -> 24 -> 14 -> 8 -> 4 at p = 0.6."""
    inputs = batch(documents((40,)))
    by_keys, by_hidden = (tiny_model(settings(site=site))(**inputs).trace.kept for site in ("keys", "hidden"))
    assert by_keys == [(40,), (24,), (14,), (8,)]
    assert by_hidden == [(24,), (14,), (8,), (4,)]
