"""Peaks are those of this process, and begin anew where they are told to."""

import subprocess
import sys

import pytest
import torch

from tokensieve.memory import peak_memory_bytes, reset_peak_memory

CPU = torch.device("cpu")
CHILD = "import torch; from tokensieve.memory import peak_memory_bytes; print(peak_memory_bytes(torch.device('cpu')))"

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
