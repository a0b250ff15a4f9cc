"""Peak memory of this process."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")  # see proc(5); Linux alone has it


def peak_memory_bytes(device: torch.device) -> int:
    """Peak since the last reset: allocated on a CUDA device, else the process's resident set, libraries included."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    # getrusage counts what the process was forked from, and no reset lowers it; so it is the second choice.
    if (peak := _status_bytes("VmHWM")) is not None:
        return peak
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(kibibytes if sys.platform == "darwin" else kibibytes * 1024)  # macOS counts bytes


def reset_peak_memory(device: torch.device) -> None:
    """Let the peak begin anew at what is used now; on CPU this works on Linux alone, elsewhere the old peak stands."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):  # no such file, or not ours to write
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # see proc(5): resets the peak resident set


def _status_bytes(name: str) -> int | None:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
