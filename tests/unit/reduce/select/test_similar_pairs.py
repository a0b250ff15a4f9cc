"""A threshold on the similarity of pairs: who leaves, bounds, a minimum, and what it does not go with."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contract.variants import LOCAL, batch, documents, tiny_model
from tokensieve import ConfigError, Prune
from tokensieve.reduce.rows import KeyRows, select_rows
from tokensieve.reduce.schedule import Open
from tokensieve.reduce.score.received import Received
from tokensieve.reduce.select.similar_pairs import SimilarPairs
from tokensieve.reduce.site import Hidden
from tokensieve.tokens import Tokens


def chosen(select: SimilarPairs, scores: list[float], protected: list[int]) -> KeyRows:
    total = len(scores)
    safe = torch.zeros(total, dtype=torch.bool).index_fill(0, torch.tensor(protected, dtype=torch.long), True)
    own = Tokens(torch.zeros(total, 1), (total,), torch.arange(total), safe, (len(protected),))
    rows = KeyRows(torch.arange(total).unsqueeze(0), own.lengths)
    return select_rows(select, Fraction(1, 1000), torch.tensor([scores]), rows, own, [False])


def test_by_hand() -> None:
    """[CLS] 1 2 3 4 5 [SEP]: 1, 3, 5 may leave, those with a likeness of .5 or more do; 2 and 4 take."""
    kept = chosen(SimilarPairs(0.5), [0.0, -0.5, -9.0, -0.4, 1.0, -0.9, 0.0], [0, 6])
    assert kept.rows.tolist() == [[0, 2, 3, 4, 6]]
    assert kept.takes is not None
    assert kept.takes.tolist() == [[False, True, False, True, False]]


def test_the_minimum_brings_back_the_least_similar() -> None:
    assert chosen(SimilarPairs(0.5, 4), [-0.9, 1.0, -0.6, 1.0, -0.8], []).rows.tolist() == [[1, 2, 3, 4]]


@given(
    scores=st.lists(st.integers(-4, 4).map(lambda number: number / 4), min_size=1, max_size=30),
    threshold=st.sampled_from([-0.9, 0.0, 0.5, 1.0]),
    fewest=st.integers(1, 9),
    data=st.data(),
)
def test_bounds(scores: list[float], threshold: float, fewest: int, data: st.DataObject) -> None:
    protected = sorted(data.draw(st.sets(st.integers(0, len(scores) - 1), max_size=4)))
    select = SimilarPairs(threshold, fewest)
    count = len(chosen(select, scores, protected).rows[0])
    low, high = select.bounds(len(scores), len(protected), Fraction(1, 1000))
    assert low <= count <= high
    assert select.counts((len(scores),), (len(protected),), Fraction(1, 1000)) is None


@torch.no_grad()
def test_a_higher_threshold_keeps_more_and_each_document_decides_alone() -> None:
    texts = documents((17, 40, 33))
    model = tiny_model(LOCAL["local-threshold"])
    kept = model(**batch(texts)).trace.kept
    assert len({number / len(text) for number, text in zip(kept[-1], texts, strict=True)}) > 1
    assert kept[-1] == tuple(model(**batch([text])).trace.kept[-1][0] for text in texts)


def test_refused() -> None:
    with pytest.raises(ConfigError, match="threshold=2"):
        SimilarPairs(threshold=2)
    with pytest.raises(ConfigError, match=r"score=received with select=similar-pairs.*use score=band-similarity"):
        Prune(Received(), SimilarPairs(), Open(), Hidden())
