"""The processor: its maker, its name, its instructions."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

AMD = "AuthenticAMD"


def cpu_instructions() -> set[str]:
    """Instruction sets of the processor, as far as torch or Linux tell; torch tells by a public name since 2.11."""
    tell = getattr(torch.cpu, "get_capabilities", None)
    if tell is not None:
        return {name for name, has in tell().items() if has is True}
    found = set(_told("flags").split())
    if getattr(torch.cpu, "_is_avx512_bf16_supported", bool)():
        found.add("avx512_bf16")
    if getattr(torch.cpu, "_is_amx_tile_supported", bool)():
        found.add("amx_bf16")  # no processor has had the one without the other
    return found


def processor_name() -> str:
    """The model name that Linux gives, else Python's word for it."""
    return _told("model name") or platform.processor() or platform.machine()


def processor_vendor() -> str:
    """The maker as Linux names it (`AMD`, ...); nothing on other systems, and where the kernel does not say."""
    return _told("vendor_id")


def _told(key: str) -> str:
    """The value that Linux has for the first processor under a key; empty if it has none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    values = (line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key)
    return next(values, "")
