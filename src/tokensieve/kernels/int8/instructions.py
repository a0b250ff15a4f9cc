"""Whether a processor has instructions for int8, and what type attention has between int8 products."""

from __future__ import annotations

from functools import cache

import torch

from tokensieve.kernels.int8.scales import MIDDLE
from tokensieve.processor import cpu_instructions

_INSTRUCTIONS = {"avx512_vnni", "avx_vnni", "amx_int8"}
CALLED = "AVX512-VNNI, AVX-VNNI or AMX-INT8"


def has_int8() -> bool:
    """Whether this processor multiplies int8 by instructions made for it, and torch can ask for them."""
    return bool(_INSTRUCTIONS & cpu_instructions()) and _torch_can_ask()


@cache
def _torch_can_ask() -> bool:
    """Whether this torch has the product, with what comes after it."""
    try:
        rows = torch.tensor([[131, 124]], dtype=torch.uint8)
        weight = torch.ops.onednn.qlinear_prepack(torch.tensor([[2, 1], [1, -3]], dtype=torch.int8), None)
        found = torch.ops.onednn.qlinear_pointwise(
            rows,
            1.0,
            MIDDLE,
            weight,
            torch.ones(2),
            torch.zeros(2, dtype=torch.int64),
            None,
            1.0,
            0,
            torch.uint8,
            "none",
            [],
            "",
        )
    except (AttributeError, RuntimeError):
        return False
    return bool(found.dtype == torch.uint8 and found.tolist() == [[2, 15]])


@cache  # a processor stays what it is, and every projection asks
def attention_dtype(device: torch.device) -> torch.dtype:
    """The type that queries, keys and values out of int8 products have.

    It is bfloat16 where the CPU has AMX, as that is more precise than int8 and twice as fast as float32; else float32.
    With AVX512-BF16 alone, torch's fused attention takes 10 to 40 % longer in bfloat16 than in float32 (Zen 4, torch
    2.13, 16 to 512 tokens).
    """
    fast = device.type == "cpu" and has_int8() and "amx_bf16" in cpu_instructions()
    return torch.bfloat16 if fast else torch.float32
