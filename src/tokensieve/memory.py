"""Peak memory of this process."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import torch


def peak_memory_bytes(device: torch.device) -> int:
    """Peak since the last reset: allocated on a CUDA device, else the process's resident set, libraries included."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)  # macOS counts bytes, Linux kibibytes


def reset_peak_memory(device: torch.device) -> None:
    """Let the peak begin anew at what is used now; on CPU this works on Linux alone, elsewhere the old peak stands."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):  # no such file, or not ours to write
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # see proc(5): resets the peak resident set
