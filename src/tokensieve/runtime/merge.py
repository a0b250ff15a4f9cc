"""The parts of an output, one after the other: the file that one process would have written."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path
from typing import IO

from tokensieve.errors import ConfigError
from tokensieve.runtime.parts_folder import PartsFolder, read_manifest


def complete_parts(folder: Path) -> PartsFolder:
    """The parts of a folder that has all of them.

    Raises:
        ConfigError: no folder of parts, some of them are missing, or it is not known how many there are.
    """
    found = read_manifest(folder)
    parts = PartsFolder(folder, found.format)
    if found.parts is None:
        raise ConfigError(f"{folder}: no process has come to the end of the input yet: start the run again, it goes on")
    if missing := parts.missing(found.parts):
        raise ConfigError(
            f"{folder}: {len(missing)} of {found.parts} parts are missing, the first is "
            f"{parts.place(missing[0]).name}: start the run again, or copy the parts of the other machines here"
        )
    return parts


def merge(parts: PartsFolder, out: IO[str]) -> int:
    """Write all parts of `complete_parts`, in order, with one header line for CSV; the number of documents.

    Args:
        parts: of a folder that has all of them.
        out: opened with `newline=""`.
    """
    found = read_manifest(parts.path)
    for number in range(found.parts or 0):
        with open(parts.place(number), encoding="utf-8", newline="") as part:
            if number and parts.format == "csv":
                _skip_header(part)
            shutil.copyfileobj(part, out)
    return found.documents or 0


def _skip_header(part: IO[str]) -> None:
    """Go to the first record of CSV; a label may have line breaks, and the header with it."""
    header = io.StringIO(newline="")
    csv.writer(header, lineterminator="\n").writerow(next(csv.reader(part)))
    part.seek(0)
    part.read(len(header.getvalue()))
