"""Which tokens stay, against the rule written down in plain Python with exact fractions (contract/oracle.py)."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from contract import oracle
from flat import flat_of, reduction
from tokensieve import Prune, ReductionConfig
from tokensieve.reduce.rows import KeyRows, select_rows
from tokensieve.reduce.schedule import exact_ratio
from tokensieve.reduce.select.fuzzy import quantile
from tokensieve.tokens import Tokens

HEADS = 4
SCALE = 2**21
RULES: tuple[dict[str, Any], ...] = (
    {"pruning": "ratio"},
    {"pruning": "fuzzy"},
    {"pruning": "fuzzy", "ratio_scope": "candidates"},
    {"pruning": "fuzzy", "ratio_scope": "candidates", "alpha_important": 0.4, "alpha_unimportant": 0.7},
    {"pruning": "fuzzy", "ratio_scope": "candidates", "alpha_important": 0.0, "alpha_unimportant": 1.0},
    {"pruning": "fuzzy", "ratio_scope": "candidates", "alpha_unimportant": 0.0},
)
MISLEADING = (0.7, 0.29, 0.57, 0.58, 0.07, 0.1, 0.14, 0.28, 0.55, 0.56, 0.9, 0.99, 0.999, 1 / 3, 0.001)
RATIOS = st.sampled_from(MISLEADING) | st.integers(1, 100).map(lambda percent: percent / 100)


@dataclass(frozen=True)
class Document:
    """Scores [HEADS, t], multiples of a power of two so that float32 averages them exactly, and protected flags."""

    scores: np.ndarray
    protected: list[bool]


def make_document(length: int, seed: int, steps: int, protection: str) -> Document:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, steps, (HEADS, length)) / SCALE
    ends = [place in (0, length - 1) for place in range(length)]
    flags = {"none": [False] * length, "all": [True] * length, "ends": ends}
    return Document(scores, flags.get(protection) or (generator.random(length) < 0.3).tolist())


# One step: constant scores; five: many ties; else random.
DOCUMENTS = st.builds(
    make_document,
    length=st.integers(1, 600) | st.integers(1, 9),
    seed=st.integers(0, 10**6),
    steps=st.sampled_from([1, 5, 2**20]),
    protection=st.sampled_from(["ends", "none", "all", "random"]),
)


def settings(rule: dict[str, Any], **changes: Any) -> ReductionConfig:
    return reduction(**rule | changes)


def cells(config: ReductionConfig) -> tuple[Prune, Fraction]:
    assert config.prune is not None
    return config.prune, exact_ratio(config.shares(1)[0])


def kept_positions(
    config: ReductionConfig,
    batch: list[Document],
    m: int = 0,
    alive: list[list[list[int]]] | None = None,
    exempt: bool = False,
) -> list[list[list[int]]]:
    """Positions that stay of each document for each set, by the package; `alive` is what an earlier call left."""
    starts = np.cumsum([0, *(len(document.protected) + m for document in batch)])
    sets = 1 if flat_of(config).heads == "shared" else HEADS
    alive = alive or [[list(range(len(document.protected)))] * sets for document in batch]
    rows: list[list[int]] = [[] for _ in range(sets)]
    received: list[list[float]] = [[] for _ in range(HEADS)]
    for start, document, own in zip(starts, batch, alive, strict=False):
        ends = [len(document.protected) + i for i in range(m)]
        for number, positions in enumerate(own):
            rows[number] += [int(start) + position for position in positions + ends]
        for head in range(HEADS):
            received[head] += [*document.scores[head, own[head % sets]], *[9.0] * m]  # high: they must not count
    lengths = tuple(len(own[0]) + m for own in alive)
    protected = [flag for document in batch for flag in document.protected + [False] * m]
    prune, share = cells(config)
    tokens = Tokens(
        values=torch.zeros(len(protected), 1),
        lengths=tuple(len(document.protected) + m for document in batch),
        origin=torch.arange(len(protected)),
        protected=torch.tensor(protected),
        protected_counts=tuple(sum(document.protected) for document in batch),
        combination=m,
    )
    kept = select_rows(
        prune.select,
        share,
        prune.score.of_received(torch.tensor(received, dtype=torch.float32)),
        KeyRows(torch.tensor(rows), lengths),
        tokens,
        [exempt] * len(batch),
    )
    found = []
    for start, document, part in zip(starts, batch, kept.rows.split(list(kept.lengths), dim=1), strict=False):
        own = (part - int(start)).tolist()
        text = len(document.protected)
        assert all(positions[len(positions) - m :] == list(range(text, text + m)) for positions in own)
        found.append([positions[: len(positions) - m] for positions in own])
    return found


def expected_positions(config: ReductionConfig, document: Document, alive: list[list[int]]) -> list[list[int]]:
    """The same by the oracle, on whole numbers: scaling moves no token."""
    scores = (document.scores * (HEADS * SCALE)).astype(int)
    by_set = scores.sum(0, keepdims=True) if flat_of(config).heads == "shared" else scores
    own = [column[positions].tolist() for column, positions in zip(by_set, alive, strict=True)]
    free = [[place for place in positions if not document.protected[place]] for positions in alive]
    # In float32 a score this near to the candidates' threshold may fall on either side.
    unprotected = [column[places].tolist() for column, places in zip(by_set, free, strict=True)]
    assume(oracle.margin(flat_of(config, 1), unprotected, [False] * len(free[0])) > 1e-5)
    return oracle.select_positions(flat_of(config, 1), own, alive, document.protected)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("heads", ["shared", "per_head"])
@given(batch=st.lists(DOCUMENTS, min_size=1, max_size=3), ratio=RATIOS, m=st.sampled_from([0, 3]))
def test_selection_is_the_rule(rule: dict[str, Any], heads: str, batch: list[Document], ratio: float, m: int) -> None:
    """Twice in a row, so that in the second round the heads' alive sets differ."""
    config = settings(rule, heads=heads, keep_ratio=ratio)
    prune, share = cells(config)
    sets = 1 if heads == "shared" else HEADS
    alive = [[list(range(len(document.protected)))] * sets for document in batch]
    for _ in range(2):
        expected = [expected_positions(config, document, own) for document, own in zip(batch, alive, strict=True)]
        kept = kept_positions(config, batch, m, alive)
        assert kept == expected
        for document, before, after in zip(batch, alive, kept, strict=True):
            safe = {place for place, flag in enumerate(document.protected) if flag}
            fewest, most = prune.select.bounds(len(before[0]), len(safe), share)
            assert max(1, len(safe)) <= fewest <= len(after[0]) <= most <= len(before[0])
            assert all(safe <= set(own) for own in after)
        alive = kept


@given(length=st.integers(1, 600), ratio=RATIOS)
def test_a_document_alone_is_the_document_in_a_batch(length: int, ratio: float) -> None:
    config = settings(RULES[2], keep_ratio=ratio)
    one, other = make_document(length, 1, 2**20, "ends"), make_document(601 - length, 2, 5, "ends")
    assert kept_positions(config, [one, other]) == kept_positions(config, [one]) + kept_positions(config, [other])


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_exempt_documents_stay_whole(rule: dict[str, Any]) -> None:
    document = make_document(50, 0, 2**20, "ends")
    assert kept_positions(settings(rule, keep_ratio=0.1), [document], m=2, exempt=True) == [[list(range(50))]]


def by_hand(scores: list[list[float]], protected: list[int], **changes: Any) -> list[list[int]]:
    """What stays of one document with the given scores by head (one list: all heads alike)."""
    heads = scores if len(scores) == HEADS else scores * HEADS
    flags = [place in protected for place in range(len(heads[0]))]
    return kept_positions(reduction(**changes), [Document(np.array(heads), flags)])[0]


def test_candidates_by_hand() -> None:
    """Scores 0..8: quartiles 2 and 6, threshold 2 + 0.1 * 4; of the candidates 0, 1, 2 floor(3 / 2) = 1 stays."""
    scores = [[0.0, 5, 1, 8, 2, 7, 3, 6, 4]]
    literal = by_hand(scores, [], ratio_scope="candidates", keep_ratio=0.5)
    assert literal == [[1, 3, 4, 5, 6, 7, 8]]
    assert by_hand(scores, [], keep_ratio=0.5) == [[1, 3, 5, 7]]  # scope all: floor(4.5) in all


def test_a_heavy_special_token_does_not_move_the_quartiles() -> None:
    """Beside 0, 1, 2, 2.6, 4 .. 8 stands a thousand, as [CLS] receives it.

    Protected, it is in no quartile: 2 and 6, threshold 2.4, and 2.6 is no candidate. Else 2.15, 6.75 and 2.61.
    """
    scores = [[1000.0, 0, 1, 2, 2.6, 4, 5, 6, 7, 8]]
    changes = {"ratio_scope": "candidates", "keep_ratio": 0.01}
    assert by_hand(scores, [0], **changes) == [[0, 4, 5, 6, 7, 8, 9]]
    assert by_hand(scores, [], **changes) == [[0, 5, 6, 7, 8, 9]]


def test_protected_tokens_count_but_do_not_leave() -> None:
    """floor(10 * 0.5) = 5 of ten: three protected ones with the lowest scores, and the two best others."""
    scores = [[0.0, 0, 0, 1, 2, 3, 4, 5, 6, 7]]
    assert by_hand(scores, [0, 1, 2], pruning="ratio", keep_ratio=0.5) == [[0, 1, 2, 8, 9]]
    assert by_hand(scores, [0, 1, 2], pruning="ratio", keep_ratio=0.1) == [[0, 1, 2]]


def test_ties_keep_the_lower_position() -> None:
    assert by_hand([[1.0] * 10], [9], pruning="ratio", keep_ratio=0.5) == [[0, 1, 2, 3, 9]]
    assert by_hand([[1.0] * 10], [], keep_ratio=0.5) == [[0, 1, 2, 3, 4]]
    assert by_hand([[1.0] * 10], [], keep_ratio=0.5, ratio_scope="candidates") == [[*range(10)]]  # b = a: no candidates


def test_heads_are_averaged_before_the_quartiles() -> None:
    """Each head loves another token; shared, all are alike and none is a candidate."""
    loves = np.eye(HEADS).tolist()
    assert by_hand(loves, [], ratio_scope="candidates", keep_ratio=0.1) == [[0, 1, 2, 3]]
    assert by_hand(loves, [], pruning="ratio", keep_ratio=0.5) == [[0, 1]]
    by_head = by_hand(loves, [], pruning="ratio", keep_ratio=0.5, heads="per_head")
    assert by_head == [[0, 1], [0, 1], [0, 2], [0, 3]]


def test_quartiles_are_pooled_over_heads() -> None:
    """Two heads that receive little, two that receive much: pooled, all of the former's tokens are candidates.

    0, 0.1 .. 0.4 twice and 10, 10.1 .. 10.4 twice: a = 0.2, b = 10.2, threshold 1.2. The latter heads keep all five,
    and so does every head. Against quartiles of its own every head would lose two.
    """
    low, high = [0.0, 0.1, 0.2, 0.3, 0.4], [10.0, 10.1, 10.2, 10.3, 10.4]
    changes = {"ratio_scope": "candidates", "keep_ratio": 0.1}
    assert by_hand([low, low, high, high], [], heads="per_head", **changes) == [[0, 1, 2, 3, 4]] * 4
    assert by_hand([low], [], heads="per_head", **changes) == [[2, 3, 4]] * 4


@given(
    rows=st.lists(st.lists(st.floats(0, 1, width=32), min_size=0, max_size=40), min_size=1, max_size=4),
    q=st.sampled_from([0.25, 0.75]),
)
def test_quantile_is_numpys(rows: list[list[float]], q: float) -> None:
    width = max(1, *map(len, rows))
    padded = np.array([row + [np.nan] * (width - len(row)) for row in rows], dtype=np.float32)
    found = quantile(torch.tensor(padded), q).numpy()
    expected = [np.quantile(np.array(row, dtype=np.float32), q) if row else np.nan for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7, equal_nan=True)
