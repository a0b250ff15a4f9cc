"""Memory of this process: its peak, and what its allocator keeps."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import re
import sys
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")  # see proc(5); Linux alone has it
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of mallopt(3)
_PAGE_OUT = 21  # MADV_PAGEOUT of madvise(2), Linux 5.4
_OWN_BLOCK = 4 << 20  # bytes; with 1 MB a training step takes 1.3 to 1.6 times as long

KEPT_IN_TRAINING = 100 << 20
"""Bytes that a training may keep at the end of its heap."""

KEPT_BETWEEN_BATCHES = 64 << 20
"""Bytes by which freed blocks may pile up from batch to batch: to have their pages anew for each costs `fastest` 5 %
of its time, and the peak, which is within a batch, is the same (docs/log/2026-11-28.md)."""

_resident_then = 0  # bytes of this process when pages were last returned, or fewer since


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


def return_large_blocks() -> bool:
    """Let glibc give blocks of 4 MB and more back as soon as they are freed; whether it does now.

    By default it learns to keep blocks of up to 32 MB. Ragged batches have blocks of ever new sizes, so that over a
    long training the freed ones pile up and hide what pruning saves. For processes of our own, as it concerns all of a
    process; where the user has set the allocator's variables, these stand.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(_MMAP_THRESHOLD, _OWN_BLOCK) and mallopt(_TRIM_THRESHOLD, KEPT_IN_TRAINING))
    return False


def return_freed_pages(kept_at_the_end: int = 0) -> None:
    """Let glibc give the pages back that lie free between blocks in use; where it has none of that, nothing.

    Args:
        kept_at_the_end: bytes after the last block in use that may stay, for what is soon allocated again.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(kept_at_the_end))


def return_piled_up_pages() -> None:
    """`return_freed_pages`, where the process has grown by KEPT_BETWEEN_BATCHES since it last did."""
    global _resident_then
    now = _status_bytes("VmRSS") or 0  # nothing, where nobody tells
    if now - _resident_then < KEPT_BETWEEN_BATCHES:
        _resident_then = min(_resident_then, now)
        return
    return_freed_pages()
    _resident_then = _status_bytes("VmRSS") or 0


def page_out(tensor: torch.Tensor) -> None:
    """Let the system take back the memory of a tensor on the CPU that is not needed soon; where it cannot, nothing.

    The tensor stays as it is. Where it lies in a file that is mapped, as weights do that were read from safetensors, it
    is read again when somebody asks for it.
    """
    page = mmap.PAGESIZE
    start, end = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
    first, last = -(-start // page) * page, end // page * page
    if sys.platform != "linux" or tensor.device.type != "cpu" or first >= last:
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _PAGE_OUT)


def _status_bytes(name: str) -> int | None:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
