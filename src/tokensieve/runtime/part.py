"""Output files in the making: written under another name, which they change for their own when they are whole."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tokensieve.errors import ConfigError


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
    return path.resolve()


def part_name(path: Path) -> Path:
    """The name under which `path` is in the making."""
    return path.with_name(path.name + ".part")


def state_name(part: Path) -> Path:
    """Where the state of a part file lies that can be resumed."""
    return part.with_name(part.name + ".json")


@contextmanager
def part_file(path: Path) -> Iterator[IO[str]]:
    """Write to `path`.part and rename it to `path` at the end; on an error nothing is left behind.

    A pipe or a device is written to as it is.

    Raises:
        ConfigError: as `output_place`.
    """
    place = output_place(path)
    opener: Any = gzip.open if path.suffix == ".gz" else open
    if is_stream(str(path)):
        with opener(path, "wt", encoding="utf-8", newline="") as out:
            yield out
        return
    part = part_name(place)
    state_name(part).unlink(missing_ok=True)  # it told of another part
    try:
        with opener(part, "wt", encoding="utf-8", newline="") as out:
            yield out
        os.replace(part, place)
    finally:
        part.unlink(missing_ok=True)
