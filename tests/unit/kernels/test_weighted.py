"""Attention over keys that weigh less: 0 and 1 are keys that are gone or there, and the gradient is the slope."""

import pytest
import torch

from tokensieve.kernels.attend import attend
from tokensieve.kernels.weighted import Near, weighted_attention

LENGTHS = (5, 1, 9)


def tensors(dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    return [torch.randn(sum(LENGTHS), 2, 4, dtype=dtype) for _ in range(3)]


def test_weights_of_one_change_nothing() -> None:
    q, k, v = tensors()
    plain = attend(q, k, v, LENGTHS, LENGTHS)[0]
    torch.testing.assert_close(weighted_attention(q, k, v, LENGTHS, torch.ones(15)), plain, atol=1e-6, rtol=1e-5)


def test_a_key_without_weight_is_no_key() -> None:
    """As if it were not there; however much larger its logit is than the others'."""
    q, k, v = tensors()
    there = torch.tensor([True, False, True, True, False, True, *[True, False, False] * 3])
    k[~there] *= 1e4
    kept = (3, 1, 3)
    expected = attend(q, k[there], v[there], LENGTHS, kept)[0]
    found = weighted_attention(q, k, v, LENGTHS, there.float())
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_a_weight_multiplies_before_the_sum() -> None:
    """A key of weight 0.25 counts a quarter of itself: by hand for two keys with equal logits."""
    q, k = torch.zeros(2, 1, 1), torch.zeros(2, 1, 1)
    v = torch.tensor([1.0, 6.0]).view(2, 1, 1)
    found = weighted_attention(q, k, v, (2,), torch.tensor([1.0, 0.25]))
    torch.testing.assert_close(found, torch.full((2, 1), (1 + 0.25 * 6) / 1.25))


def test_no_key_at_all_gives_zeros() -> None:
    q, k, v = tensors()
    weights = torch.ones(15)
    weights[5] = 0  # the second document has one row
    found = weighted_attention(q, k, v, LENGTHS, weights)
    assert found.isfinite().all()
    assert not found[5].any()
    assert found[4].any()


def test_rows_see_their_window_alone() -> None:
    q, k, v = tensors()
    position = torch.cat([torch.arange(length) * 2 for length in LENGTHS])
    found = weighted_attention(q, k, v, LENGTHS, torch.ones(15), near=Near(2, position))
    alone = attend(q[:1], k[:2], v[:2], (1,), (2,))[0]  # position 0 sees 0 and 2
    torch.testing.assert_close(found[:1], alone, atol=1e-6, rtol=1e-5)
    middle = attend(q[8:9], k[7:10], v[7:10], (1,), (3,))[0]
    torch.testing.assert_close(found[8:9], middle, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("closed", [False, True])
def test_gradient_is_the_slope(closed: bool) -> None:
    """Also of a weight that is 0: it tells what the key would add."""
    q, k, v = tensors(torch.float64)
    weights = torch.rand(15, dtype=torch.float64) * 0.8 + 0.1
    if closed:
        weights[torch.tensor([1, 7, 9])] = 0
    direction = torch.randn(15, 8, dtype=torch.float64)

    def value(own: torch.Tensor) -> torch.Tensor:
        return (weighted_attention(q.float(), k.float(), v.float(), LENGTHS, own).double() * direction).sum()

    own = weights.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(value(own), own)
    step = 1e-2
    for place in (1, 7, 8):
        nudged = weights.clone()
        nudged[place] += step
        base = weights.clone()
        if not closed or place == 8:
            base[place] -= step
        slope = (value(nudged) - value(base)) / (nudged[place] - base[place])
        assert float(gradient[place]) == pytest.approx(float(slope), rel=0.12, abs=0.02)
