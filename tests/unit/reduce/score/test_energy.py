"""Energy by hand: near copies have much of it, the margin falls with depth, blocks change nothing."""

from statistics import NormalDist

import pytest
import torch

import tokensieve.kernels.cosines as cosines
from tokensieve import ConfigError
from tokensieve.reduce.contract import KeyVectors
from tokensieve.reduce.score.energy import Energy

ROWS = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [5.0, 5.0]])


def seen(vectors: torch.Tensor, lengths: tuple[int, ...], depth: float = 0.0, m: int = 0) -> KeyVectors:
    return KeyVectors(vectors, lengths, m, torch.zeros(len(vectors), dtype=torch.bool), depth)


@pytest.mark.parametrize("depth", [0.0, 0.5])
def test_by_hand(depth: float) -> None:
    """Rows 0 and 1 are copies of each other, 2 is at a right angle, the last row of all is a combination token."""
    density = NormalDist(0, 1 - (0.6 - 0.25 * depth)).pdf
    scores = Energy(margin=0.6).of_keys(seen(ROWS, (4,), depth, m=1))
    expected = [-(density(0) + density(1)) / 2, -(density(0) + density(1)) / 2, -density(1)]
    torch.testing.assert_close(scores[0, :3], torch.tensor(expected))


def test_a_document_of_one_token_has_none() -> None:
    assert Energy().of_keys(seen(ROWS, (1, 1, 1, 1))).tolist() == [[0.0] * 4]


@pytest.mark.parametrize("elements", [1, 30, 100])
def test_blocks_change_nothing(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    own = seen(torch.randn(31, 5), (7, 7, 7, 10), m=2)
    whole = Energy(0.5).of_keys(own)
    monkeypatch.setattr(cosines, "_BLOCK_ELEMENTS", elements)
    torch.testing.assert_close(Energy(0.5).of_keys(own), whole, atol=1e-6, rtol=0)


def test_refused() -> None:
    for margin in (1.0, -0.1, True):
        with pytest.raises(ConfigError, match=r"margin=.*: give a number in \[0, 1\)"):
            Energy(margin=margin)
    with pytest.raises(ConfigError, match="fall=2"):
        Energy(fall=2)
