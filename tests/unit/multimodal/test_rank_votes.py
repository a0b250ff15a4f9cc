"""Votes of query tokens by hand and by an oracle; weights ahead of the ranking would change nothing."""

import pytest
import torch

from contract.oracle.visual_tokens import borda
from tokensieve import ConfigError, InputError
from tokensieve.multimodal import image_weights, keep_best, rank_votes


def test_by_hand() -> None:
    """Three queries, one head: the columns rank them 0 2 1, 2 0 1 and, with a tie, 0.5 0.5 2."""
    attention = torch.tensor([[[0.1, 0.9, 0.2], [0.5, 0.1, 0.2], [0.4, 0.3, 0.6]]])
    assert rank_votes(attention).tolist() == [2.5, 2.5, 4.0]
    assert rank_votes(attention, torch.tensor([1.0, 0.0, 2.0])).tolist() == [1.0, 3.0, 5.0]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("levels", [3, 10_000])
def test_against_the_oracle(weighted: bool, levels: int) -> None:
    """With three levels of attention there are many ties."""
    attention = torch.randint(levels, (2, 4, 7, 11)).float() / levels
    weights = torch.rand(2, 11) if weighted else None
    found = rank_votes(attention, weights)
    for image in range(2):
        told = borda(attention[image], None if weights is None else weights[image].tolist())
        assert found[image].tolist() == pytest.approx(told, rel=1e-5)
        alone = rank_votes(attention[image], None if weights is None else weights[image])
        torch.testing.assert_close(alone, found[image])
    assert found.sum(1).tolist() == pytest.approx(
        [4 * 21 * float(11 if weights is None else weights[image].sum()) for image in range(2)], rel=1e-5
    )


def test_a_weight_ahead_of_the_ranking_changes_nothing() -> None:
    attention, weights = torch.rand(3, 6, 9), torch.rand(9) + 0.1
    assert torch.equal(rank_votes(attention * weights), rank_votes(attention))
    assert not torch.equal(rank_votes(attention, weights).argsort(), rank_votes(attention).argsort())


def test_image_weights() -> None:
    received = torch.tensor([1.0, 2.0, 2.0])
    torch.testing.assert_close(image_weights(received), received.softmax(0))
    torch.testing.assert_close(image_weights(received, "norm"), received / 3)
    with pytest.raises(ConfigError, match="scaling='sum': choose one of 'softmax', 'norm'"):
        image_weights(received, "sum")  # type: ignore[arg-type]


def test_the_best_stay_in_order() -> None:
    tokens = torch.arange(8.0).view(1, 4, 2)
    kept, places = keep_best(tokens, torch.tensor([[3.0, 1.0, 1.0, 9.0]]), 3)
    assert places.tolist() == [[0, 1, 3]], "of equals the lower place stays"
    assert torch.equal(kept, tokens[:, [0, 1, 3]])


def test_refused() -> None:
    attention = torch.rand(2, 3, 4, 5)
    for wrong in (torch.rand(4, 5), torch.rand(2, 3, 4, 0)):
        with pytest.raises(InputError, match=r"attention .*: give \[B, H, Q, K\]"):
            rank_votes(wrong)
    with pytest.raises(InputError, match=r"weights \[5\] with attention \[2, 3, 4, 5\]: give .*\[2, 5\]"):
        rank_votes(attention, torch.rand(5))
    with pytest.raises(InputError, match="weights of 0 or more"):
        rank_votes(attention, -torch.rand(2, 5) - 0.1)
    with pytest.raises(InputError, match="finite"):
        rank_votes(attention * torch.inf)
    with pytest.raises(InputError, match=r"tokens \[2, 4, 8\] with scores \[2, 5\]"):
        keep_best(torch.rand(2, 4, 8), torch.rand(2, 5), 1)
    for keep in (0, 5, True, 1.0):
        with pytest.raises(ConfigError, match=r"keep=.*: give a whole number of 1 or more, at most 4"):
            keep_best(torch.rand(2, 4, 8), torch.rand(2, 4), keep)  # type: ignore[arg-type]
