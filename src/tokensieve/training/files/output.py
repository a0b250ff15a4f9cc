"""The folder that training makes: checked first, made beside its place, and put there when it is complete.

Work in progress lies in `output`.part. A run that is interrupted leaves it there if it can be resumed. Only folders
that tokensieve made, with nothing of the user's in them, are ever replaced or removed.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tokensieve.checks import read_object
from tokensieve.errors import CheckpointError, ConfigError, TrainingError
from tokensieve.system import locked, resolved, system_errors_explained
from tokensieve.training.files.checkpoints import FOLDER, RUN, last_complete
from tokensieve.training.old import record_today

logger = logging.getLogger(__name__)

RECORD = "training.json"
"""The record of a run. It is the last file that is written, and tells a folder of ours from any other."""
CARD = "README.md"
ESTIMATOR = "estimator.json"
PUBLISHED = (
    CARD,
    "LICENSE*",
    "config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "words.json",
    "words.safetensors",
    "words_first.json",
    "quantization.json",
    "frontier.json",
    "frontier.svg",
    RECORD,
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
)
"""Files of a classifier's folder that go to a hub."""
OURS = (*PUBLISHED, ESTIMATOR, "chat_template.jinja")
"""All files that tokensieve writes into a classifier's folder."""
_IN_THE_MAKING = (*OURS, "*.json.part", "words.safetensors.part")


def check_output(
    output: str | Path, overwrite: bool, resume: bool = False, sources: Sequence[str | Path | None] = ()
) -> None:
    """Refuse a folder that cannot be made or must not be replaced, before any work is done.

    Args:
        output: folder to make.
        overwrite: replace it if it is there.
        resume: go on with an interrupted run.
        sources: as in `check_sources`.

    Raises:
        ConfigError: `output` is a file, the current folder or one above it, or lies in no folder; it or its
            `output`.part holds something that tokensieve did not write; it exists and `overwrite` is not set; or an
            interrupted run is there and neither `resume` nor `overwrite` is set; or as `check_sources`.
    """
    path = resolved(Path(output))
    if overwrite and resume:
        raise ConfigError(
            f"output {output}: --resume goes on with an interrupted run and --overwrite throws it away: give one"
        )
    if path in (Path.cwd(), *Path.cwd().parents):
        raise ConfigError(f"output {output} holds the current folder and cannot be replaced: name a folder to make")
    if path.parent.is_file():
        raise ConfigError(f"output {output}: {path.parent} is a file, not a folder: name a folder to make elsewhere")
    if not path.parent.is_dir():
        raise ConfigError(f"output {output}: the folder {path.parent} does not exist; make it first")
    if path.exists() and not path.is_dir():
        raise ConfigError(
            f"output {output} exists and is a file, which --overwrite does not replace: name a folder to make"
        )
    check_part(path)
    check_sources(output, *sources)
    if can_resume(path) and not resume and not overwrite:
        raise ConfigError(
            f"{part_of(path).name} beside output {output} holds a training that was interrupted: go on with it "
            "(--resume), or throw it away (--overwrite)"
        )
    if not path.is_dir() or not any(path.iterdir()):
        return
    if not overwrite and not (resume and can_resume(path) and is_ours(path)):
        raise ConfigError(f"output {output} exists: give another folder, or overwrite it (--overwrite)")
    if not is_ours(path):
        raise ConfigError(
            f"output {output} is no classifier that was trained here (no {RECORD} of a training in it) and is not "
            "overwritten: give another folder"
        )
    _refuse_foreign(path, OURS, "is not overwritten")


def check_sources(output: str | Path, *sources: str | Path | None) -> None:
    """Refuse a model that the run reads and that lies in `output`.part, which the run empties first.

    Args:
        output: folder to make.
        sources: folders or hub names of models; None where there is none.

    Raises:
        ConfigError: names the folder.
    """
    part = part_of(resolved(Path(output)))
    for source in sources:
        if source is not None and Path(source).exists() and resolved(Path(source)).is_relative_to(part):
            raise ConfigError(
                f"model {source} lies in {part}, where the work in progress goes and which is emptied first: move it, "
                "or name another output"
            )


def check_part(path: Path) -> None:
    """Refuse if `path`.part, where the work in progress goes, is something that tokensieve did not write.

    Raises:
        ConfigError: names it.
    """
    part = part_of(path)
    if part.is_symlink() or (part.exists() and not part.is_dir()) or (part.is_dir() and _is_in_use(part)):
        raise ConfigError(
            f"{part} is in the way: the work in progress goes there, and tokensieve did not write it; move it, or "
            "name another output"
        )
    if part.is_dir():
        _refuse_foreign(part, _IN_THE_MAKING, "is not removed", (FOLDER,))
    if (part / FOLDER).is_dir():
        _refuse_foreign(part / FOLDER, (RUN, f"{RUN}.part"), "is not removed", ("checkpoint-*", "tmp-checkpoint-*"))


def _is_in_use(part: Path) -> bool:
    return any(part.iterdir()) and not (is_ours(part) or _holds(part / FOLDER / RUN, "settings"))


def _refuse_foreign(folder: Path, ours: Sequence[str], consequence: str, folders: Sequence[str] = ()) -> None:
    """Raise ConfigError if a folder of ours holds something else, which the user may have put there.

    Args:
        folder: is ours.
        ours: patterns of the files in it that are ours.
        consequence: what is not done, for the message.
        folders: patterns of the folders in it that are ours.
    """
    foreign = sorted(
        entry.name
        for entry in folder.iterdir()
        if not any(fnmatch(entry.name, pattern) for pattern in (folders if entry.is_dir() else ours))
    )
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise ConfigError(
            f"{folder} holds {foreign[0]}{more}, which tokensieve did not write, and {consequence}: move that, or give "
            "another folder"
        )


def part_of(output: Path) -> Path:
    """Where the work in progress lies."""
    return output.with_name(output.name + ".part")


def can_resume(output: Path) -> bool:
    """Whether an interrupted run left a complete checkpoint, or all of its result but not in its place."""
    part = part_of(output)
    return is_ours(part) or last_complete(part / FOLDER) is not None


def is_ours(path: Path) -> bool:
    """Whether a folder holds the record of a training of ours."""
    return _holds(path / RECORD, "versions")


def _holds(file: Path, key: str) -> bool:
    """Whether a file is a JSON record with a key that ours have."""
    try:
        return isinstance(read_object(file).get(key), dict)
    except (OSError, ValueError):
        return False


@contextmanager
def folder_in_the_making(output: str | Path, resume: bool = False) -> Iterator[Path]:
    """A folder beside `output` that takes its name at the end.

    If anything fails before, it is removed, unless it can be resumed and the training did not diverge.

    Raises:
        ConfigError: as `check_part`; or another run is making the same folder.
        OperatingSystemError: the disk is full, or the system refuses something else.
    """
    path = resolved(Path(output))  # of a link, the folder that it names
    part = part_of(path)
    check_part(path)
    with system_errors_explained(part), _alone(part):
        if not (resume and can_resume(path)):
            _empty(part)
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


@contextmanager
def _alone(part: Path) -> Iterator[None]:
    """Make the folder if it is not there, and keep a second run out of it: each would delete the other's files.

    Raises:
        ConfigError: another run is at work in it.
    """
    part.mkdir(exist_ok=True)
    if os.name == "nt":  # a folder cannot be locked there
        yield
        return
    folder = os.open(part, os.O_RDONLY)
    try:
        # The other run may have renamed it since we opened it.
        if not locked(folder) or not part.exists() or not os.path.samestat(os.fstat(folder), part.stat()):
            raise ConfigError(f"{part} is being written by another run: wait until it ends, or name another output")
        yield
    finally:
        os.close(folder)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def put_in_place(part: Path, path: Path) -> None:
    """Rename `part` to `path`, and remove what was there; whenever this is cut short, one of the two is complete."""
    shutil.rmtree(part / FOLDER, ignore_errors=True)
    if not path.is_dir():
        part.rename(path)
        return
    # A new name that no folder of the user's can have.
    replaced = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".replaced", dir=path.parent))
    path.rename(replaced / path.name)
    part.rename(path)
    shutil.rmtree(replaced, ignore_errors=True)


def open_to_others(folder: Path) -> None:
    """Give weights the rights of config.json; safetensors may keep them from other users."""
    for weights in folder.glob("*.safetensors"):
        shutil.copymode(folder / "config.json", weights)


def read_record(path: Path) -> dict[str, Any]:
    """The record of a finished run; keys of version 0.1.0 have the names of today.

    Raises:
        CheckpointError: it cannot be read, or holds no record.
    """
    try:
        return record_today(read_object(path))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: the record of the training cannot be read ({error}); train the classifier again, or put the file "
            "back"
        ) from error


def record_in(folder: str | Path) -> dict[str, Any]:
    """The record in a classifier's folder; empty if no training left one.

    Raises:
        CheckpointError: as `read_record`.
    """
    path = Path(folder) / RECORD
    return read_record(path) if path.is_file() else {}
