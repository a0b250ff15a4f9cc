"""Peak memory of this process."""

from __future__ import annotations

import sys

import torch


def peak_memory_bytes(device: torch.device) -> int:
    """Peak so far: allocated on a CUDA device, else the process's resident set, interpreter and libraries included."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)  # macOS counts bytes, Linux kibibytes
