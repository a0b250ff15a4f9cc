"""Scores from the cosines of keys: by hand, in blocks of any size, and refused where there are no keys yet."""

import pytest
import torch

import tokensieve.kernels.cosines as cosines
from contract.variants import UNEQUAL, batch, documents, model_config, tiny_model
from tokensieve import ConfigError, Prune, ReductionConfig
from tokensieve.kernels.cosines import GRID
from tokensieve.methods import METHODS
from tokensieve.model.plan import make_plan
from tokensieve.reduce.contract import KeyVectors
from tokensieve.reduce.merge.most_similar import MostSimilar
from tokensieve.reduce.score.key_similarity import KeySimilarity
from tokensieve.reduce.score.learned import Learned
from tokensieve.reduce.select.pairs import Pairs
from tokensieve.reduce.site import Ahead, Hidden


def seen(vectors: torch.Tensor, lengths: tuple[int, ...], protected: list[int], m: int = 0) -> KeyVectors:
    safe = torch.zeros(len(vectors), dtype=torch.bool).index_fill(0, torch.tensor(protected, dtype=torch.long), True)
    return KeyVectors(vectors, lengths, m, safe, 0.0)


def test_by_hand() -> None:
    """Row 0 is protected. Of the others 1, 3 are the first half and 2, 4 the second."""
    rows = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-2.0, 0.0], [1.0, 0.0]])
    scores = KeySimilarity().of_keys(seen(rows, (6,), [0], m=1))
    half = 0.5**0.5
    torch.testing.assert_close(scores[0, 1:5], torch.tensor([0.0, -half, -half, half]), atol=0.5 / GRID, rtol=0)


def test_a_token_without_a_partner_is_as_unlike_as_can_be() -> None:
    scores = KeySimilarity().of_keys(seen(torch.ones(4, 2), (2, 1, 1), [0]))
    assert scores.tolist() == [[1.0, 1.0, 1.0, 1.0]]


@pytest.mark.parametrize("elements", [1, 30, 100])
def test_blocks_change_nothing(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    own = seen(torch.randn(31, 5), (7, 7, 7, 10), [0, 6, 7, 30], m=2)
    whole = KeySimilarity().of_keys(own)
    monkeypatch.setattr(cosines, "_BLOCK_ELEMENTS", elements)
    torch.testing.assert_close(KeySimilarity().of_keys(own), whole, atol=1e-6, rtol=0)


def test_keys_are_not_known_ahead_of_the_layer() -> None:
    with pytest.raises(ConfigError, match=r"score=key-similarity with site=ahead: keys are not known.*use site=hidden"):
        Prune(KeySimilarity(), Pairs(), site=Ahead())
    with pytest.raises(ConfigError, match=r"merge.by='keys' with site=ahead: keys are not known"):
        Prune(Learned(), Pairs(), site=Ahead(), merge=MostSimilar("keys"))


@torch.no_grad()
def test_attention_is_proportional_where_it_is_set() -> None:
    """The sizes count in attention, and in nothing else, from the layer after the first merging on."""
    tome = METHODS["tome"].settings
    assert tome.prune is not None
    plain = Prune(tome.prune.score, tome.prune.select, tome.prune.schedule, Hidden(), MostSimilar("keys"))
    inputs = batch(documents(UNEQUAL))
    ours, theirs = (tiny_model(ReductionConfig(prune=own, pooling="mean")) for own in (tome.prune, plain))
    assert (ours(**inputs).logits - theirs(**inputs).logits).abs().max() > 1e-4
    before = [model.encoder.layer[0](*first_layer(model, inputs))[0] for model in (ours, theirs)]
    assert torch.equal(before[0].values, before[1].values)
    assert before[0].sizes is not None and before[0].sizes.max() > 1


def first_layer(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[object, ...]:
    """What the encoder gives its first layer."""
    given: list[tuple[object, ...]] = []
    hook = model.encoder.layer[0].register_forward_pre_hook(lambda _, inputs: given.append(inputs))  # type: ignore[union-attr]
    model(**inputs)
    hook.remove()
    *rest, choice, places = given[0]
    return (*rest, type(choice)(), places)


def test_the_likeness_is_in_the_plan() -> None:
    """10 tokens, vectors of the width of a head: all cosines for the score, and those of the 2 that leave with the 8.

    As `even` leaves .825 of them after the first of four layers, floor(8.25) = 8 stay.
    """
    tome = METHODS["tome"].settings
    assert tome.prune is not None
    dropped = ReductionConfig(prune=Prune(Learned(), Pairs(), tome.prune.schedule, Hidden()), pooling="mean")
    merged, plain = (make_plan(model_config(own), 10) for own in (tome, dropped))
    assert merged.kept_tokens == plain.kept_tokens == (8.0, 6.0, 4.0, 3.0)
    added = merged.steps[0].flops - plain.steps[0].flops + 2 * 32 * 10  # the learned score is a product with a vector
    assert added == 2 * 8 * (10 * 10 + (10 - 8) * 8)
