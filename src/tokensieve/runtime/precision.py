"""Types of weights and activations by name, and whether a device has instructions for them."""

from __future__ import annotations

import logging

import torch

from tokensieve.errors import ConfigError
from tokensieve.processor import cpu_instructions

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
AUTO = "auto"

# Any one of these multiplies matrices of the type, by the names that torch and Linux have for instructions.
_CPU_INSTRUCTIONS = {
    torch.bfloat16: {"avx512_bf16", "amx_bf16", "arm_bf16"},
    torch.float16: {"avx512_fp16", "amx_fp16", "arm_fp16"},
}
_CALLED = {torch.bfloat16: "AVX512-BF16, AMX, on ARM BF16", torch.float16: "AVX512-FP16, AMX-FP16, on ARM FP16"}


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """A floating point type by name; a warning is logged where the device is slow with it.

    Args:
        name: "float32", "bfloat16", "float16", or "auto": bfloat16 on a CPU or CUDA device that has instructions for
            it, else float32.
        device: what will compute.

    Raises:
        ConfigError: none of these.
    """
    if name == AUTO:
        fast = device.type in ("cpu", "cuda") and is_native(torch.bfloat16, device)
        return torch.bfloat16 if fast else torch.float32
    if name not in DTYPES:
        raise ConfigError(f"dtype={name!r}: choose one of {', '.join((*DTYPES, AUTO))}")
    dtype = DTYPES[name]
    if not is_native(dtype, device):
        logger.warning("%s", _slow(name, device))
    return dtype


def dtype_name(dtype: torch.dtype) -> str:
    """The name that `resolve_dtype` takes."""
    return str(dtype).removeprefix("torch.")


def is_native(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the device multiplies matrices of this type by instructions made for it.

    CPU: AVX512-BF16 or AMX for bfloat16, AVX512-FP16 or AMX-FP16 for float16; where they lack, torch converts or
    computes number by number. CUDA: bfloat16 from compute capability 8 on. Of other devices nothing bad is known.
    """
    if dtype == torch.float32:
        return True
    if device.type == "cpu":
        return bool(_CPU_INSTRUCTIONS[dtype] & cpu_instructions())
    if device.type == "cuda" and dtype == torch.bfloat16 and torch.version.hip is None:
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return True


def _slow(name: str, device: torch.device) -> str:
    if device.type == "cuda":
        return (
            f"dtype={name}: {torch.cuda.get_device_name(device)} has no instructions for it and is slower with it than "
            "with float32 or float16: choose one of these, or auto"
        )
    return (
        f"dtype={name}: this processor has no instructions for it ({_CALLED[DTYPES[name]]}) and is slower with it than "
        "with float32, 15 to 30 times in a training measured with AVX2: choose float32, or auto"
    )
