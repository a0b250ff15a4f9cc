"""Scores within a band: by hand, the whole band is ToMe's, and what cannot be."""

import pytest
import torch

from contract.variants import model_config
from tokensieve import ConfigError, Prune, ReductionConfig
from tokensieve.kernels.cosines import GRID
from tokensieve.methods import METHODS
from tokensieve.model.plan import make_plan
from tokensieve.reduce.contract import KeyVectors
from tokensieve.reduce.merge.within_band import WithinBand
from tokensieve.reduce.score.band_similarity import BandSimilarity
from tokensieve.reduce.score.key_similarity import KeySimilarity
from tokensieve.reduce.score.learned import Learned
from tokensieve.reduce.select.pairs import Pairs
from tokensieve.reduce.site import Ahead, Hidden
from tokensieve.tokens import Tokens


def seen(vectors: torch.Tensor, lengths: tuple[int, ...], protected: list[int], m: int = 0) -> KeyVectors:
    safe = torch.zeros(len(vectors), dtype=torch.bool).index_fill(0, torch.tensor(protected, dtype=torch.long), True)
    return KeyVectors(vectors, lengths, m, safe, 0.0)


ROWS = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-2.0, 0.0], [1.0, 0.0]])


def test_by_hand() -> None:
    """Row 0 is protected, 5 a combination token; 1 and 3 are compared with the next row, 2 and 4 are no first half."""
    scores = BandSimilarity().of_keys(seen(ROWS, (6,), [0], m=1))
    torch.testing.assert_close(scores[0, 1:5], torch.tensor([0.0, 1.0, 0.5**0.5, 1.0]), atol=0.5 / GRID, rtol=0)


def test_a_band_of_the_whole_document_is_key_similarity_of_the_first_half() -> None:
    own = seen(torch.randn(31, 5), (7, 14, 10), [0, 6, 7, 30], m=2)
    ours, theirs = BandSimilarity(band=9).of_keys(own), KeySimilarity().of_keys(own)
    first = ours[0] < 1
    assert first.sum() > 8
    torch.testing.assert_close(ours[0, first], theirs[0, first])


def test_inputs_are_scored_as_keys_are() -> None:
    scorer = BandSimilarity(by="inputs").scorer(2)
    assert scorer is not None and scorer.fitted and BandSimilarity().scorer(2) is None
    own = seen(ROWS, (6,), [0], m=1)
    tokens = Tokens(ROWS, (6,), torch.arange(6), own.protected, (1,), 1)
    assert torch.equal(scorer(tokens), BandSimilarity().of_keys(own))


def test_refused() -> None:
    with pytest.raises(ConfigError, match="band=0"):
        BandSimilarity(band=0)
    with pytest.raises(ConfigError, match="by='values': choose one of 'inputs', 'keys'"):
        BandSimilarity(by="values")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="score=band-similarity with site=ahead: keys are not known ahead"):
        Prune(BandSimilarity(), Pairs(), site=Ahead())
    with pytest.raises(ConfigError, match=r"score.band=2 with merge.band=1: give both the same number"):
        Prune(BandSimilarity(2), Pairs(), site=Hidden(), merge=WithinBand())


def test_the_band_is_in_the_plan() -> None:
    """10 tokens, vectors of the width of a head: 5 cosines for the score, and one for each of the 2 that leave."""
    local = METHODS["local-merge"].settings
    assert local.prune is not None
    dropped = ReductionConfig(prune=Prune(Learned(), Pairs(), local.prune.schedule, Hidden()), pooling="mean")
    merged, plain = (make_plan(model_config(own), 10) for own in (local, dropped))
    assert merged.kept_tokens == plain.kept_tokens == (8.0, 6.0, 4.0, 3.0)
    added = merged.steps[0].flops - plain.steps[0].flops + 2 * 32 * 10  # the learned score is a product with a vector
    assert added == 2 * 8 * (5 + 2)
