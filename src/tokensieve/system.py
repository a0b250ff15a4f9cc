"""Refusals of the operating system (a full disk, a missing right), with place and remedy; and files that are whole."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tokensieve.errors import ConfigError, OperatingSystemError, TokensieveError

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
    errno.EEXIST: "something of that name is in the way: move it, or name another place",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EMFILE: "the system limits the open files (ulimit -n): raise the limit",
    errno.ENFILE: "close other programs, or try again later",
    errno.EIO: "the disk has a fault: name a place on another disk",
    errno.ELOOP: "a link leads back to itself: correct it",
    errno.EAGAIN: "the system limits processes and threads, or their memory (ulimit -u, -v): raise the limit",
    errno.ENOMEM: "give smaller batches (--batch-size, --batch-tokens), a smaller --max-length, or more memory",
}
# Some give the number in the text alone: safetensors and tokenizers as "(os error 28)", torch and safetensors behind
# the system's words for it, "Too many open files (24)".
_NUMBER_IN_TEXT = re.compile(r"\((os error )?(\d+)\)")
_TORCH_WRITER = ("PytorchStreamWriter failed", "iostream error", "file write failed")
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "failed to map segment")
_OTHER_WORDS = {"can't start new thread": errno.EAGAIN, "Symlink loop from": errno.ELOOP}
"""Python's own words for what the system refused, in a RuntimeError."""


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
    start = "" if where is None or number in (errno.ENOMEM, errno.EAGAIN) else f"{where}: "
    return f"{start}{os.strerror(number)}; {_REMEDIES.get(number, 'check the place, and try again')}"


def _number(error: BaseException) -> int | None:
    """The system's number (errno) of what it refused."""
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    text = str(error)
    for of_rust, digits in _NUMBER_IN_TEXT.findall(text):
        if of_rust or f"{os.strerror(int(digits))} ({digits})" in text:
            return int(digits)
    if isinstance(error, (RuntimeError, ImportError)) and any(phrase in text.lower() for phrase in _NO_MEMORY):
        return errno.ENOMEM
    for words, number in _OTHER_WORDS.items():
        if isinstance(error, RuntimeError) and words in text:
            return number
    if isinstance(error, RuntimeError) and any(phrase in text for phrase in _TORCH_WRITER):
        return errno.ENOSPC  # torch does not tell; a full disk is by far the most frequent reason
    return None


def resolved(path: Path) -> Path:
    """The absolute path, with its links followed.

    Raises:
        ConfigError: no path can be so: it holds a null character.
        OperatingSystemError: a link leads back to itself.
    """
    try:
        with system_errors_explained(path):
            place = path.resolve()
            if any(part.is_symlink() for part in (place, *place.parents)):  # from Python 3.13 on resolve says nothing
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            return place
    except ValueError as error:
        raise ConfigError(f"{str(path)!r}: no path can be so ({error}); check it") from error


def locked(file: int) -> bool:
    """Lock an open file or folder against other processes; false where one of them holds it.

    The lock ends when the file is closed, or with the process, however it ends.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True


def refuse(error: BaseException, place: str | Path) -> None:
    """Raise OperatingSystemError if the error tells what the system refused; else return."""
    text = explained(error, place)
    if text is not None:
        raise OperatingSystemError(text) from error


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
        refuse(error, place)
        raise


@contextmanager
def whole_files(folder: Path, names: Sequence[str]) -> Iterator[dict[str, Path]]:
    """Where to write files of these names, by name: they take their places when all are written, or none does.

    Raises:
        OperatingSystemError: the disk is full, or the system refuses something else.
    """
    with system_errors_explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        parts = {name: folder / f"{name}.part" for name in names}
        try:
            yield parts
            for name, part in parts.items():
                os.replace(part, folder / name)
        finally:
            for part in parts.values():
                part.unlink(missing_ok=True)
