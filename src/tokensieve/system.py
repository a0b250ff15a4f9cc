"""What the operating system refuses (a full disk, a missing right, no memory), told with the place and the remedy."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tokensieve.errors import OperatingSystemError, TokensieveError

_REMEDIES = {
    errno.ENOSPC: "free some space there, or name a place on another disk",
    errno.EDQUOT: "free some of your quota, or name a place on another disk",
    errno.EFBIG: "the system limits the size of a file (ulimit -f): raise the limit, or name a place on another disk",
    errno.EROFS: "name a place that can be written to",
    errno.EACCES: "ask for the right to use it, or name another place",
    errno.EPERM: "ask for the right to use it, or name another place",
    errno.EISDIR: "name a file, not a folder",
    errno.ENOTDIR: "name a folder where there is a file now",
    errno.ENOENT: "check the path; it may have been moved or deleted meanwhile",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EMFILE: "the system limits the open files (ulimit -n): raise the limit",
    errno.ENFILE: "close other programs, or try again later",
    errno.EIO: "the disk has a fault: name a place on another disk",
    errno.ENOMEM: "give smaller batches (--batch-size, --batch-tokens), a smaller --max-length, or more memory",
}
# safetensors and tokenizers, which are written in Rust, give the number in the text alone.
_NUMBER_IN_TEXT = re.compile(r"\(os error (\d+)\)")
_TORCH_WRITER = ("PytorchStreamWriter failed", "iostream error", "file write failed")
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def explained(error: BaseException, place: str | Path | None = None) -> str | None:
    """One sentence on what the system refused, where, and what to do; None for an error of another kind.

    Args:
        error: any error.
        place: where it happened, if the error does not say.
    """
    number = _number(error)
    if number is None:
        return None
    named = getattr(error, "filename", None)
    where = place if named is None else os.fsdecode(named) if isinstance(named, (str, bytes)) else named
    start = "" if where is None or number == errno.ENOMEM else f"{where}: "
    return f"{start}{os.strerror(number)}; {_REMEDIES.get(number, 'check the place, and try again')}"


def _number(error: BaseException) -> int | None:
    """The system's number (errno) of what it refused."""
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    text = str(error)
    if match := _NUMBER_IN_TEXT.search(text):
        return int(match[1])
    if isinstance(error, RuntimeError) and any(phrase in text.lower() for phrase in _NO_MEMORY):
        return errno.ENOMEM
    if isinstance(error, RuntimeError) and any(phrase in text for phrase in _TORCH_WRITER):
        return errno.ENOSPC  # torch does not tell; a full disk is by far the most frequent reason
    return None


@contextmanager
def system_errors_explained(place: str | Path) -> Iterator[None]:
    """Raise what the system refuses within the block as one error that names the place.

    Raises:
        OperatingSystemError: in place of an OSError, MemoryError, or a library's own error for these.
    """
    try:
        yield
    except (TokensieveError, BrokenPipeError):
        raise
    except Exception as error:
        text = explained(error, place)
        if text is None:
            raise
        raise OperatingSystemError(text) from error
