"""Output files in the making: written as OUTPUT.part, and renamed to OUTPUT when they are complete.

Beside a part lies OUTPUT.part.json, its state. The state tells a part of ours from a file of the user's that happens to
have that name: only files that tokensieve wrote are ever replaced or removed.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tokensieve.checks import read_object
from tokensieve.errors import ConfigError
from tokensieve.system import locked, resolved, system_errors_explained

_STATE_KEYS = {"fingerprint", "documents", "size"}


def is_stream(path: str) -> bool:
    """Whether a name is that of standard input or output (`-`), a pipe or a device: read or written once, in order."""
    place = Path(path)
    return path == "-" or (place.exists() and not place.is_file() and not place.is_dir())


def output_place(path: Path) -> Path:
    """Where the file goes: of a link, the file that it names.

    Raises:
        ConfigError: the folder of `path` does not exist, or `path` is a folder.
    """
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ConfigError(f"output {path}: give a file in a folder that exists")
    return resolved(path)


def part_name(path: Path) -> Path:
    """The name under which `path` is in the making."""
    return path.with_name(path.name + ".part")


def state_name(part: Path) -> Path:
    """Where the state of a part file lies."""
    return part.with_name(part.name + ".json")


def _new_name(part: Path) -> Path:
    """Where the next state of a part is written before it takes the place of the last one."""
    return part.with_name(part.name + ".json.new")


def check_part(part: Path) -> None:
    """Refuse a part or a state that tokensieve did not write; one that is empty may be replaced.

    Raises:
        ConfigError: names the file that is in the way.
    """
    files = (part, state_name(part), _new_name(part))
    ours = any(map(_is_state, files[1:]))
    for path in files:
        free = path.is_file() and (ours or not path.stat().st_size)
        if path.is_symlink() or (path.exists() and not free):
            raise ConfigError(
                f"{path} is in the way: the work in progress goes there, and tokensieve did not write it; move it, or "
                "name another output"
            )


def _is_state(path: Path) -> bool:
    try:
        return read_object(path).keys() >= _STATE_KEYS
    except (OSError, ValueError):
        return False


def write_state(part: Path, state: Mapping[str, Any]) -> None:
    """Replace the state of a part as a whole, on the disk when this returns."""
    new = _new_name(part)
    with open(new, "w", encoding="utf-8") as file:
        json.dump(dict(state), file)
        to_disk(file)
    os.replace(new, state_name(part))


def remove_state(part: Path) -> None:
    """Remove the state of a part."""
    for name in (state_name(part), _new_name(part)):
        name.unlink(missing_ok=True)


def keep_alone(file: IO[bytes], part: Path) -> None:
    """Keep a second run out of an opened part, whose records would get between ours.

    Raises:
        ConfigError: another run is writing it.
    """
    # The other run may have renamed it since we opened it.
    ours = locked(file.fileno()) and part.exists() and os.path.samestat(os.fstat(file.fileno()), part.stat())
    if not ours:
        raise ConfigError(f"{part} is being written by another run: wait until it ends, or name another output")


def to_disk(file: IO[bytes] | IO[str]) -> None:
    """Wait until the disk has what was written to a file."""
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def part_file(path: Path, ours: Callable[[IO[str]], bool]) -> Iterator[IO[str]]:
    """Write to `path`.part and rename it to `path` at the end; on an error nothing is left behind.

    A pipe or a device is written to as it is.

    Args:
        path: a file, existing or not; gzip-compressed if it ends in ``.gz``.
        ours: as in `check_replaceable`.

    Raises:
        ConfigError: as `output_place`, `check_replaceable`, `check_part` and `keep_alone`.
        OperatingSystemError: the disk is full, or the system refuses something else.
    """
    place = output_place(path)
    opener: Any = gzip.open if path.suffix == ".gz" else open
    if is_stream(str(path)):
        with system_errors_explained(path), opener(path, "wt", encoding="utf-8", newline="") as out:
            yield out
        return
    with system_errors_explained(path):
        check_replaceable(path, ours)
    with part_bytes(path) as file:
        binary: Any = gzip.GzipFile("", "wb", fileobj=file) if place.suffix == ".gz" else file
        with io.TextIOWrapper(binary, encoding="utf-8", newline="") as out:
            yield out


@contextmanager
def part_bytes(path: Path) -> Iterator[IO[bytes]]:
    """As `part_file`, of bytes, which are appended; whether `path` may be replaced the caller has checked.

    Raises:
        ConfigError: as `output_place`, `check_part` and `keep_alone`.
        OperatingSystemError: as `part_file`.
    """
    place = output_place(path)
    part = part_name(place)
    with system_errors_explained(path):
        check_part(part)
        with open(part, "ab") as file:
            keep_alone(file, part)
            file.truncate(0)
            try:
                write_state(part, {"fingerprint": {}, "documents": 0, "size": 0})
                yield file
            except BaseException:
                part.unlink(missing_ok=True)
                remove_state(part)
                raise
        os.replace(part, place)
        remove_state(part)


def check_replaceable(path: Path, ours: Callable[[IO[str]], bool]) -> None:
    """Refuse to replace a file that tokensieve did not write.

    Args:
        path: a file, existing or not; gzip-compressed if it ends in ``.gz``.
        ours: whether an opened file is one of ours.

    Raises:
        ConfigError: there is another file, which is not empty, or one that is write-protected.
    """
    if not path.is_file():
        return
    if not os.access(path, os.W_OK):  # renaming would replace it all the same
        raise ConfigError(f"output {path} is write-protected, so it is not overwritten: name another file")
    if not path.stat().st_size:
        return
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            own = ours(file)
    except (OSError, EOFError, ValueError, csv.Error):
        own = False
    if not own:
        raise ConfigError(
            f"output {path} exists and is no output of tokensieve, so it is not overwritten: move it, or name another "
            "file"
        )


def json_with(*keys: str) -> Callable[[IO[str]], bool]:
    """For `check_replaceable`: whether an opened file is a JSON object that has these keys."""

    def ours(file: IO[str]) -> bool:
        record = json.load(file)
        return isinstance(record, dict) and record.keys() >= set(keys)

    return ours
