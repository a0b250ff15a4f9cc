"""Local merging: by hand, and with k = 1 every row stands for an unbroken stretch that ends with it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contract.variants import LOCAL, METHODS_TRIED, batch, documents, tiny_model
from tokensieve import ConfigError, Prune, ReductionConfig
from tokensieve.reduce.merge.within_band import WithinBand, within_band
from tokensieve.reduce.rows import KeyRows
from tokensieve.reduce.schedule import Even
from tokensieve.reduce.score.band_similarity import BandSimilarity
from tokensieve.reduce.select.pairs import Pairs
from tokensieve.reduce.site import Ahead, Hidden
from tokensieve.tokens import COMBINATION, Tokens

BACKWARDS = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [1.0, 0.0]]


def tokens(values: list[list[float]], lengths: tuple[int, ...], protected: list[int], m: int = 0) -> Tokens:
    """Rows as given; the last m of each document are combination tokens."""
    origin = torch.cat([torch.tensor([*range(length - m), *[COMBINATION] * m]) for length in lengths])
    safe = torch.zeros(len(values), dtype=torch.bool)
    safe[protected] = True
    return Tokens(torch.tensor(values), lengths, origin, safe, tuple(0 for _ in lengths), m)


def merged(
    own: Tokens, stay: list[int], lengths: tuple[int, ...], band: int, takes: list[bool] | None = None
) -> list[int]:
    kept = KeyRows(torch.tensor([stay]), lengths, None if takes is None else torch.tensor([takes]))
    return within_band(own, kept, own.values, band).into.tolist()


def test_by_hand() -> None:
    """Row 2 is like 1 before it and unlike 3 behind it: a band of 1 lets it go into 3 alone, one of 2 into either."""
    own = tokens(BACKWARDS, (4,), [])
    assert merged(own, [1, 3], (2,), 1) == [0, 0, 1, 1]
    near = tokens([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [1.0, 0.0]], (4,), [])
    assert merged(near, [1, 3], (2,), 2) == [1, 0, 0, 1]
    assert merged(near, [1, 3], (2,), 1) == [0, 0, 1, 1]


def test_who_takes_nothing() -> None:
    """A protected row, a combination token, another document, and a row that the selection does not let take."""
    assert merged(tokens(BACKWARDS, (4,), [1]), [1, 2], (2,), 1) == [1, 0, 1, -1]
    assert merged(tokens(BACKWARDS, (4,), [], m=1), [0, 1, 3], (3,), 1) == [0, 1, -1, 2]
    assert merged(tokens(BACKWARDS, (3, 1), []), [0, 1, 3], (2, 1), 1) == [0, 1, -1, 2]
    assert merged(tokens(BACKWARDS, (4,), []), [1, 3], (2,), 1, [False, True]) == [-1, 0, 1, 1]


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=4), share=st.sampled_from([0.2, 0.5, 0.8]))
@torch.no_grad()
def test_neighbours_make_unbroken_stretches(lengths: list[int], share: float) -> None:
    """With k = 1 the tokens of a row are those behind the row before it, up to its own; the order stays."""
    prune = Prune(BandSimilarity(), Pairs(), Even(share), Hidden(), WithinBand(proportional=True))
    model = tiny_model(ReductionConfig(prune=prune, pooling="mean", protect_special=False))
    trace = model(**batch(documents(lengths))).trace
    moves = trace.moves()
    start = 0
    for into, left in zip(moves.into().split(lengths), trace.survivors(), strict=True):
        expected = [start + sum(position > row for row in left) for position in range(len(into))]
        assert into.tolist() == expected
        start += len(left)


@torch.no_grad()
def test_documents_of_different_lengths_in_one_batch() -> None:
    texts = documents((17, 40, 40, 5))
    for settings in (*LOCAL.values(), METHODS_TRIED["method local-merge"]):
        model = tiny_model(settings)
        together, alone = model(**batch(texts)), [model(**batch([text])) for text in texts]
        torch.testing.assert_close(together.logits, torch.cat([one.logits for one in alone]), atol=1e-5, rtol=0)


def test_a_merged_row_stands_for_all_its_tokens() -> None:
    own = tokens(BACKWARDS, (4,), [])
    merging = within_band(own, KeyRows(torch.tensor([[1, 3]]), (2,)), own.values, 1)
    assert merging.sizes(torch.tensor([3.0, 1.0, 1.0, 1.0])).tolist() == [4, 2]


def test_refused() -> None:
    with pytest.raises(ConfigError, match="band=0"):
        WithinBand(band=0)
    with pytest.raises(ConfigError, match="merge=within-band with site=keys"):
        Prune(merge=WithinBand())
    with pytest.raises(ConfigError, match=r"merge.by='keys' with site=ahead"):
        Prune(BandSimilarity(by="inputs"), Pairs(), site=Ahead(), merge=WithinBand())
