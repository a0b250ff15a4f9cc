"""Peaks are those of this process, and begin anew where they are told to."""

import os
import subprocess
import sys
from mmap import ACCESS_READ, PAGESIZE, mmap
from pathlib import Path

import pytest
import torch

from tokensieve import memory
from tokensieve.memory import peak_memory_bytes, reset_peak_memory

MB = 1 << 20
CPU = torch.device("cpu")
CHILD = "import torch; from tokensieve.memory import peak_memory_bytes; print(peak_memory_bytes(torch.device('cpu')))"

TUNED = {"MALLOC_MMAP_THRESHOLD_": "100000000", "MALLOC_TRIM_THRESHOLD_": "1000000000"}

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process apart")


@on_linux
def test_what_a_process_was_started_from_is_not_counted() -> None:
    block = torch.ones(200_000_000)
    child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True, timeout=120)
    assert 50e6 < int(child.stdout) < 700e6 < block.nbytes < peak_memory_bytes(CPU)


@on_linux
def test_a_peak_begins_anew() -> None:
    block = torch.ones(100_000_000)
    high = peak_memory_bytes(CPU)
    del block
    reset_peak_memory(CPU)
    assert peak_memory_bytes(CPU) < high - 300e6


KEPT = """
import torch
from tokensieve.memory import _status_bytes, return_large_blocks
print(int(return_large_blocks()))
learn = torch.ones(6_000_000)  # 24 MB; glibc takes it that such blocks come again
del learn
small, large = [], []
for _ in range(10):
    large.append(torch.ones(4_000_000))
    small.append(torch.ones(1000))  # stands between large ones, and ends the heap
before = _status_bytes("VmRSS")
large.clear()
print(before - _status_bytes("VmRSS"))
"""


@on_linux
@pytest.mark.parametrize("variables", [{}, TUNED], ids=["ours", "the user's"])
def test_large_blocks_go_back(variables: dict[str, str]) -> None:
    """160 MB are freed; what the user has set stands."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    run = [sys.executable, "-c", KEPT]
    child = subprocess.run(run, capture_output=True, text=True, check=True, timeout=120, env=kept | variables)
    done, returned = map(int, child.stdout.split())
    assert done == (not variables)
    assert (returned > 140e6) == bool(done)


HOLES = """
import torch
from tokensieve.memory import _status_bytes, return_freed_pages, return_large_blocks
return_large_blocks()
blocks = [torch.ones(500_000) for _ in range(200)]  # 2 MB each, on the heap
del blocks[::2]  # every other one: no end of the heap to give back
before = _status_bytes("VmRSS")
return_freed_pages()
print(before - _status_bytes("VmRSS"))
"""


@on_linux
def test_freed_pages_go_back() -> None:
    """Of 400 MB in small blocks 200 MB are freed, with blocks that live on between them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    run = [sys.executable, "-c", HOLES]
    child = subprocess.run(run, capture_output=True, text=True, check=True, timeout=120, env=kept)
    assert int(child.stdout) > 150e6


def test_pages_go_back_once_enough_have_piled_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resident bytes at each batch, and how often pages have been returned by then."""
    returned: list[bool] = []
    sizes = [
        *(100, 100),  # first asked: far above nothing
        163,  # 63 MB more
        *(164, 110),  # 64 MB more, and what is left when they are returned
        80,  # something else was freed: from here on it counts
        *(144, 90),
    ]
    resident = iter(size * MB for size in sizes)
    monkeypatch.setattr(memory, "_status_bytes", lambda name: next(resident) if name == "VmRSS" else None)
    monkeypatch.setattr(memory, "_resident_then", 0)
    monkeypatch.setattr(memory, "return_freed_pages", lambda: returned.append(True))
    counts = []
    for _ in range(5):
        memory.return_piled_up_pages()
        counts.append(len(returned))
    assert counts == [1, 1, 2, 2, 3]


def test_where_nobody_tells_the_size_pages_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(memory, "_resident_then", 0)
    monkeypatch.setattr(memory, "return_freed_pages", lambda: pytest.fail("returned"))
    memory.return_piled_up_pages()


@on_linux
def test_resident_bytes_are_those_that_the_kernel_counts_in_pages() -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    assert memory._status_bytes("VmRSS") == pytest.approx(pages * PAGESIZE, rel=0.1)


def takes_back(file: Path) -> bool:
    """Whether the kernel takes back pages of a file that Python's own `mmap` gives to it."""
    with open(file, "rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as pages:
        assert sum(pages[::PAGESIZE]) == 0
        held = memory._status_bytes("RssFile")
        try:
            pages.madvise(memory._PAGE_OUT)
        except OSError:
            return False
        return memory._status_bytes("RssFile") != held


@on_linux
def test_a_tensor_of_a_file_goes_back_and_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "numbers"
    file.write_bytes(bytes(range(256)) * (MB // 8))  # 32 MB
    with open(file, "rb") as written:
        os.fsync(written.fileno())  # pages that are not on the disk yet would have to stay
    if not takes_back(file):
        pytest.skip("this kernel takes nothing back")
    numbers = torch.from_file(str(file), shared=False, size=32 * MB, dtype=torch.uint8)
    assert numbers.max() == 255
    held = memory._status_bytes("RssFile")
    memory.page_out(numbers)
    left = memory._status_bytes("RssFile")
    assert held is not None
    assert left is not None
    assert torch.equal(numbers.view(-1, 256).sum(1), torch.full((MB // 8,), 255 * 128))
    assert held - left > 30 * MB


def test_a_tensor_that_is_in_no_file_stays_as_it_is() -> None:
    numbers = torch.arange(1_000_000)
    memory.page_out(numbers)
    memory.page_out(numbers[:3])
    memory.page_out(torch.empty(0))
    assert torch.equal(numbers, torch.arange(1_000_000))
