"""Cosines on a grid: what is equal but for the last bits ties."""

import torch
import torch.nn.functional as F

from tokensieve.kernels.cosines import GRID, cosines


def test_equal_vectors_tie_whatever_the_last_bits_say() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(1, 40, 32)
    noisy = vectors * (1 + 1e-6 * torch.randn_like(vectors))
    plain, found = (F.normalize(own, dim=2) for own in (vectors, noisy))
    alike = cosines(plain, found).diagonal(dim1=1, dim2=2)
    assert (alike == 1).all()


def test_they_are_cosines_to_the_grid() -> None:
    torch.manual_seed(0)
    first, second = (F.normalize(torch.randn(2, count, 32, dtype=torch.float64), dim=2) for count in (5, 9))
    found = cosines(first.float(), second.float())
    assert found.shape == (2, 5, 9)
    assert (found - first @ second.transpose(1, 2)).abs().max() <= 0.5 / GRID + 1e-6
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(cosines(first.float(), second.float()), found)
