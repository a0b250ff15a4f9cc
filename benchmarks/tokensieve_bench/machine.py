"""What a measurement was made with: commit, processor, cores, threads, versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

import tokensieve.version
from tokensieve.processor import cpu_instructions, processor_name

PACKAGES = ("torch", "transformers", "tokenizers", "onnxruntime", "openvino", "nncf")
_TELLING = {
    "avx2",
    "avx512_f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "arm_bf16",
    "sve",
    "sve2",
}
_FOLDER = Path(tokensieve.version.__file__).parent


def machine(threads: int) -> dict[str, Any]:
    """For the record of a measurement; versions of packages that are there."""
    return {
        "commit": commit(),
        "processor": processor_name(),
        "instructions": sorted(cpu_instructions() & _TELLING),
        "cores": os.cpu_count(),
        "threads": threads,
        "load": load_average(),
        "python": platform.python_version(),
        "tokensieve": tokensieve.version.__version__,
        **{name: version for name in PACKAGES if (version := _version(name)) is not None},
        "torch_vectors": torch.backends.cpu.get_cpu_capability(),
    }


def commit() -> str | None:
    """The commit of the checkout that tokensieve runs from; a + follows if it or a benchmark was changed since.

    Configs are left aside, as records have theirs.

    None where the package is installed and no checkout, even if its folder lies in one of another project.
    """
    if _git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    changed = _git("status", "--porcelain", ".", ":/benchmarks", ":(top,exclude)benchmarks/configs")
    return f"{_git('rev-parse', 'HEAD')}{'+' if changed else ''}"


def load_average() -> float | None:
    """Processes that ran or wanted to in the last minute; None where the system does not say."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _git(*arguments: str) -> str | None:
    """What git says in tokensieve's folder; None where it fails, or there is no git."""
    try:
        run = subprocess.run(["git", *arguments], cwd=_FOLDER, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return run.stdout.strip() if run.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
