"""What the system refuses is told with the place and a remedy, whichever library it is that tells of it."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from tokensieve.errors import ConfigError, OperatingSystemError
from tokensieve.system import explained, resolved


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left"), r"^there: No space left on device; free some space"),
        (FileExistsError(errno.EEXIST, "File exists", "here"), r"^here: File exists; something of that name is in the"),
        (Exception("IO error (os error 28)"), r"^there: No space left on device; free"),
        (
            RuntimeError("unable to open file <B/model.safetensors> in read-only mode: Too many open files (24)"),
            r"^there: Too many open files; .*ulimit -n",
        ),
        (RuntimeError("unable to mmap 99 bytes from file <x>: Cannot allocate memory (12)"), r"^Cannot allocate mem"),
        (RuntimeError("can't start new thread"), r"^Resource temporarily unavailable; .*ulimit -u"),
        (RuntimeError("Symlink loop from '/tmp/loop'"), r"^there: Too many levels of symbolic links; .* correct it"),
        (ImportError("x.so: failed to map segment from shared object"), r"^Cannot allocate memory; "),
        (MemoryError(), r"^Cannot allocate memory; "),
    ],
    ids=str,
)
def test_what_the_system_refuses_is_explained(error: Exception, words: str) -> None:
    text = explained(error, "there")
    assert text is not None
    assert re.search(words, text), text


@pytest.mark.parametrize(
    "error",
    [
        ValueError("size mismatch (24)"),
        RuntimeError("shape (12) and (28)"),
        ImportError("No module named 'wandb'"),
        KeyError("a"),
        OSError("no connection"),
    ],
    ids=str,
)
def test_an_error_of_another_kind_is_none_of_the_systems(error: Exception) -> None:
    assert explained(error, "there") is None


def test_a_path_that_cannot_be_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OperatingSystemError, match=r"loop: Too many levels of symbolic links; .*correct it"):
        resolved(tmp_path / "loop")
    with pytest.raises(ConfigError, match=r"a\\x00b': no path can be so"):
        resolved(tmp_path / "a\0b")
    assert resolved(tmp_path / "x" / ".." / "y") == tmp_path.resolve() / "y"
