"""Predictions that outlive their process: a part file, and beside it the state that says how much of it is good.

Records go to OUTPUT.part in commits. After each commit OUTPUT.part.json is replaced as a whole. If the process ends
between the two, the bytes that the state counts are still complete records. What comes after them is cut off on
resuming.
"""

from __future__ import annotations

import gzip
import io
import logging
import os
import stat
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from tokensieve.checks import is_whole, read_object
from tokensieve.errors import ConfigError
from tokensieve.runtime.fingerprint import Fingerprint, differences
from tokensieve.runtime.part import (
    check_part,
    check_replaceable,
    is_stream,
    keep_alone,
    output_place,
    part_name,
    remove_state,
    state_name,
    to_disk,
    write_state,
)
from tokensieve.system import resolved, system_errors_explained

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class State:
    """What is done.

    Attributes:
        fingerprint: what the records follow from.
        documents: documents whose records are in the part.
        truncated: how many of them were truncated.
        size: bytes of the part that hold these records.
        batch_tokens: the engine's budget for them; None while it had not chosen one.
    """

    fingerprint: Fingerprint = field(default_factory=dict)
    documents: int = 0
    truncated: int = 0
    size: int = 0
    batch_tokens: int | None = None


def check_resume(input: Collection[Path], output: str, *, resume: bool, restart: bool) -> None:
    """Refuse what cannot be resumed, and to throw away what can be, before anything is loaded.

    Args:
        input: the files that hold it; none for a stream.
        output: a file name, `-` for standard output.
        resume: continue the run that was cut off.
        restart: throw away what it has left.

    Raises:
        ConfigError: both flags; `resume` with a stream; neither, where a run that can be resumed was cut off.
    """
    if resume and restart:
        raise ConfigError("--resume and --restart: continue the run that was cut off, or throw it away; give one")
    if resume and not input:
        raise ConfigError("--resume: an input that is a stream cannot be read again from its start; give a file")
    if resume and is_stream(output):
        raise ConfigError(
            f"--resume: output {output} is a stream, which cannot be taken up where it ended; give a file"
        )
    if resume or restart or is_stream(output):
        return
    part = part_name(resolved(Path(output)))
    if (found := read_state(part)) is not None:
        raise ConfigError(
            f"output {output}: {part.name} holds {found.documents} documents of a run that was cut off: "
            "continue it with --resume, or throw it away with --restart"
        )


def check_output(input: Collection[Path], output: str, ours: Callable[[IO[str]], bool]) -> None:
    """Refuse an output that would cost the user a file, before anything is opened.

    Args:
        input: the files that hold the input; none for standard input.
        output: a file name, `-` for standard output.
        ours: as in `check_replaceable`.

    Raises:
        ConfigError: the output is the input, by whatever name, or another file that tokensieve did not write; or such
            a file has the name that the work in progress needs.
    """
    read = [file.stat() for file in input if file.exists()] or _standard(sys.stdin)
    written = _standard(sys.stdout) if output == "-" else [Path(output).stat()] if Path(output).exists() else []
    for one in read:
        if any(stat.S_ISREG(one.st_mode) and os.path.samestat(one, other) for other in written):
            named = "standard output" if output == "-" else f"output {output}"
            raise ConfigError(f"{named} is the input, which would be overwritten while it is read: name another file")
    if not is_stream(output):
        check_replaceable(Path(output), ours)
        check_part(part_name(output_place(Path(output))))


def _standard(stream: Any) -> list[os.stat_result]:
    """What a standard stream is connected to; nothing where it was replaced by one in memory."""
    try:
        return [os.fstat(stream.fileno())]
    except (AttributeError, OSError, ValueError):
        return []


def read_state(part: Path) -> State | None:
    """The state of a part file that can be resumed; None where there is none, or it does not fit the part."""
    try:
        found = State(**read_object(state_name(part)))
        numbers = (found.size, found.documents, found.truncated, found.batch_tokens or 1)
        fits = (
            all(is_whole(number, most=2**63) for number in numbers)
            and 0 < found.size <= part.stat().st_size
            and found.documents > 0
        )
        fits = fits and found.truncated >= 0 and (found.batch_tokens is None or found.batch_tokens > 0)
        return found if fits and isinstance(found.fingerprint, dict) else None
    except (OSError, ValueError, TypeError):
        return None


class ResumablePart:
    """A part file that grows by commits; made by `resumable_part`.

    Attributes:
        records: what is to be committed next, in memory until then.
        state: what is committed.
    """

    def __init__(self, name: Path, file: IO[bytes], state: State, gzipped: bool) -> None:
        self.records = io.StringIO(newline="")
        self.state = state
        self._name, self._file, self._gzipped = name, file, gzipped

    def commit(self, documents: int, truncated: int, batch_tokens: int | None = None) -> None:
        """Append `records` to the file, and say that so many documents are done in all, with which budget."""
        data = self.records.getvalue().encode()
        if self._gzipped:  # a member a commit: members one after the other are a valid gzip file
            data = gzip.compress(data, mtime=0)
        self._file.write(data)
        to_disk(self._file)
        size = self.state.size + len(data)
        state = replace(self.state, documents=documents, truncated=truncated, size=size, batch_tokens=batch_tokens)
        write_state(self._name, asdict(state))
        self.state = state
        self.records.seek(0)
        self.records.truncate()

    def give_up(self) -> None:
        """Keep what is committed, and say how to go on; leave nothing where nothing is."""
        self._file.close()
        done = read_state(self._name)  # not `self.state`: Ctrl-C may come between the file and the attribute
        if done is not None:
            logger.warning("%s keeps %d documents: continue with --resume", self._name, done.documents)
        else:
            self._name.unlink(missing_ok=True)
            remove_state(self._name)


@contextmanager
def resumable_part(path: Path, fingerprint: Fingerprint, *, resume: bool) -> Iterator[ResumablePart]:
    """Write to `path`.part by commits and rename it to `path` at the end; on an error what is committed stays.

    Args:
        path: a file, existing or not; gzip-compressed if it ends in ``.gz``.
        fingerprint: all that the records follow from.
        resume: go on after the commits of an earlier run, if there are any; else these are thrown away.

    Raises:
        ConfigError: no place for the file, a part of it that tokensieve did not write, another run that is writing it,
            or one to resume whose fingerprint differs.
        OperatingSystemError: the disk is full, or the system refuses something else.
    """
    place = output_place(path)
    name = part_name(place)
    check_part(name)
    with system_errors_explained(path):
        with open(name, "ab") as file:
            keep_alone(file, name)
            part = ResumablePart(name, file, _start(name, file, fingerprint, resume), place.suffix == ".gz")
            try:
                yield part
            except BaseException:
                part.give_up()
                raise
        os.replace(name, place)
        remove_state(name)


def _start(part: Path, file: IO[bytes], fingerprint: Fingerprint, resume: bool) -> State:
    found = read_state(part) if resume else None
    if found is None:
        if resume:
            logger.warning("nothing to resume for %s: starting from the beginning", part.stem)
        state = State(fingerprint)
        write_state(part, asdict(state))  # first, so that the state of another run never stands beside this part
        file.truncate(0)
        return state
    if wrong := differences(found.fingerprint, fingerprint):
        raise ConfigError(
            f"{part} cannot be resumed, as this has changed since it was begun: {'; '.join(wrong)}. "
            "Resume it as it was begun, or throw it away with --restart"
        )
    logger.info("resuming after %d documents", found.documents)
    file.truncate(found.size)
    return found
