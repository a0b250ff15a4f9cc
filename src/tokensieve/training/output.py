"""The folder that training makes: checked before, made beside its place, and put there when it is whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tokensieve.errors import ConfigError

RECORD = "training.json"
"""What a folder of ours holds, and no other."""


def check_output(output: str | Path, overwrite: bool) -> None:
    """Refuse a folder that cannot be made, or must not be replaced: only classifiers of ours are ever overwritten.

    Raises:
        ConfigError: a file, a folder in use, one of something else, or one that is there without `overwrite`.
    """
    path = Path(output).resolve()
    if path in (Path.cwd(), *Path.cwd().parents):
        raise ConfigError(f"output {output} holds the current folder and cannot be replaced: name a folder to make")
    if not path.parent.is_dir():
        raise ConfigError(f"output {output}: the folder {path.parent} does not exist; make it first")
    if path.is_file():
        raise ConfigError(
            f"output {output} exists and is a file, which --overwrite does not replace: name a folder to make"
        )
    if not path.is_dir() or not any(path.iterdir()):
        return
    if not overwrite:
        raise ConfigError(f"output {output} exists: give another folder, or overwrite it (--overwrite)")
    if not (path / RECORD).is_file():
        raise ConfigError(
            f"output {output} is no classifier that was trained here (no {RECORD} in it) and is not overwritten: "
            "give another folder"
        )


@contextmanager
def folder_in_the_making(output: str | Path) -> Iterator[Path]:
    """A folder beside `output` that takes its name at the end, and is removed if anything fails before."""
    path = Path(output).resolve()  # of a link, the folder that it names
    part = path.with_name(path.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        if path.is_dir():
            shutil.rmtree(path)
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
