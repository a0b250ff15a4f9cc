"""All data files below a folder, as one source."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from tokensieve.data.rows import list_names
from tokensieve.data.sources import EXTENSIONS, split_extension
from tokensieve.errors import DataError

logger = logging.getLogger(__name__)


def files_below(folder: Path) -> tuple[Path, ...]:
    """The data files below a folder, at any depth, in the order of their paths.

    Names that begin with a dot or an underscore are left out without a word, as Spark and Ray write such files beside
    the data (`_SUCCESS`). Files with another ending than those of data are left out with a warning.

    Args:
        folder: read on every machine of a run, so its files must not change while it lasts.

    Raises:
        DataError: the folder has no data file, or one of its folders cannot be listed.
    """
    found: list[Path] = []
    others: list[str] = []
    for place, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        for name in names:
            if name.startswith((".", "_")):
                continue
            path = Path(place, name)
            if split_extension(path)[1] in EXTENSIONS:
                found.append(path)
            else:
                others.append(path.relative_to(folder).as_posix())
    if not found:
        raise DataError(f"{folder} has no data file ({', '.join(EXTENSIONS)}, text formats also with .gz): put one in")
    if others:
        logger.warning("%s: files that hold no data are left out: %s", folder, list_names(sorted(others)))
    return tuple(sorted(found, key=lambda path: path.relative_to(folder).as_posix()))


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be listed ({error.strerror}); check its permissions") from error
