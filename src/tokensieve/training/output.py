"""The folder that training makes: checked before, made beside its place, and put there when it is whole.

Work in progress lies in `output`.part. A run that ends before its time leaves it there, to be resumed, if it has
a whole checkpoint; otherwise nothing is left.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokensieve.errors import ConfigError, TrainingError
from tokensieve.training.checkpoints import FOLDER, last_whole

logger = logging.getLogger(__name__)

RECORD = "training.json"
"""What a folder of ours holds, and no other; of all its files the one that is written last."""


def check_output(output: str | Path, overwrite: bool, resume: bool = False) -> None:
    """Refuse a folder that cannot be made, or must not be replaced: only classifiers of ours are ever overwritten.

    Raises:
        ConfigError: a file, a folder in use, one of something else, one that is there without `overwrite`, or an
            interrupted run without `resume` or `overwrite`.
    """
    path = Path(output).resolve()
    if overwrite and resume:
        raise ConfigError(
            f"output {output}: --resume goes on with an interrupted run and --overwrite throws it away: give one"
        )
    if path in (Path.cwd(), *Path.cwd().parents):
        raise ConfigError(f"output {output} holds the current folder and cannot be replaced: name a folder to make")
    if not path.parent.is_dir():
        raise ConfigError(f"output {output}: the folder {path.parent} does not exist; make it first")
    if path.is_file():
        raise ConfigError(
            f"output {output} exists and is a file, which --overwrite does not replace: name a folder to make"
        )
    part = part_of(path)
    if part.is_file() or (part.is_dir() and any(part.iterdir()) and not _is_work(part)):
        raise ConfigError(f"{part} is in the way of the work in progress and is none of ours: move it, or name another")
    if can_resume(path) and not resume and not overwrite:
        raise ConfigError(
            f"{part.name} beside output {output} holds a training that was interrupted: go on with it "
            "(--resume), or throw it away (--overwrite)"
        )
    if not path.is_dir() or not any(path.iterdir()) or (resume and can_resume(path) and _is_ours(path)):
        return
    if not overwrite:
        raise ConfigError(f"output {output} exists: give another folder, or overwrite it (--overwrite)")
    if not _is_ours(path):
        raise ConfigError(
            f"output {output} is no classifier that was trained here (no {RECORD} in it) and is not overwritten: "
            "give another folder"
        )


def part_of(output: Path) -> Path:
    """Where the work in progress lies."""
    return output.with_name(output.name + ".part")


def can_resume(output: Path) -> bool:
    """Whether an interrupted run left a whole checkpoint, or all of its result but not in its place."""
    part = part_of(output)
    return (part / RECORD).is_file() or last_whole(part / FOLDER) is not None


def _is_work(part: Path) -> bool:
    return (part / FOLDER).is_dir() or _is_ours(part)


def _is_ours(path: Path) -> bool:
    return (path / RECORD).is_file()


@contextmanager
def folder_in_the_making(output: str | Path, resume: bool = False) -> Iterator[Path]:
    """A folder beside `output` that takes its name at the end.

    If anything fails before, it is removed, unless it holds a whole checkpoint and the training did not go astray.
    """
    path = Path(output).resolve()  # of a link, the folder that it names
    part = part_of(path)
    if not (resume and can_resume(path)):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
    try:
        yield part
        put_in_place(part, path)
    except TrainingError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    finally:
        if part.is_dir() and can_resume(path):
            logger.warning("the training is interrupted and not lost: go on with it (--resume)")
        else:
            shutil.rmtree(part, ignore_errors=True)


def put_in_place(part: Path, path: Path) -> None:
    """Rename `part` to `path`, and remove what was there; whenever this is cut short, one of the two is whole."""
    shutil.rmtree(part / FOLDER, ignore_errors=True)
    old = path.with_name(path.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if path.is_dir():
        path.rename(old)
    part.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def read_record(path: Path) -> dict[str, Any]:
    """The record of a finished run."""
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record
