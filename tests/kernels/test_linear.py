"""The linear layer for few rows gives what torch's gives, and is used where it pays alone."""

import pytest
import torch
from torch import nn

from tokensieve.kernels.linear import Linear


def of_both(rows: torch.Tensor, width: int = 512) -> tuple[torch.Tensor, torch.Tensor]:
    """The product of ours and of torch's layer, with the same weights."""
    torch.manual_seed(0)
    ours = Linear(rows.shape[-1], width).to(rows.dtype)
    torchs = nn.Linear(rows.shape[-1], width).to(rows.dtype)
    torchs.load_state_dict(ours.state_dict())
    return ours(rows), torchs(rows)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 6, 7, 8, 9, 31, 64, 127, 128, 129, 300])
@pytest.mark.parametrize("transposed", [False, True])
@torch.inference_mode()
def test_any_number_of_rows(count: int, transposed: bool) -> None:
    rows = torch.randn(768, count).t() if transposed else torch.randn(count, 768)
    ours, torchs = of_both(rows)
    assert ours.shape == (count, 512)
    torch.testing.assert_close(ours, torchs, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_few_rows_are_laid_out_by_column() -> None:
    assert of_both(torch.randn(30, 768))[0].stride() == (1, 32)
    assert of_both(torch.randn(200, 768))[0].is_contiguous()
    assert of_both(torch.randn(30, 384))[0].is_contiguous()  # a narrow model


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@torch.inference_mode()
def test_other_types_are_torchs(dtype: torch.dtype) -> None:
    ours, torchs = of_both(torch.randn(30, 768, dtype=dtype))
    assert ours.is_contiguous()
    assert torch.equal(ours, torchs)


@torch.inference_mode()
def test_autocast_is_torchs() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        ours, torchs = of_both(torch.randn(30, 768))
    assert ours.dtype == torch.bfloat16
    assert torch.equal(ours, torchs)


def test_training_is_torchs() -> None:
    ours, torchs = of_both(torch.randn(30, 768, requires_grad=True))
    assert ours.is_contiguous()
    assert torch.equal(ours, torchs)
