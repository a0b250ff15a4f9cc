"""The splits that a path or name holds: files of a folder by their names, or the splits of a data set."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokensieve.data.huggingface import DatasetSplit, open_dataset
from tokensieve.data.rows import list_names
from tokensieve.data.sources import EXTENSIONS, STDIN, kind_of_path, split_extension
from tokensieve.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

SingleSource = str | Path | DatasetSplit
Source = SingleSource | tuple[Path, ...]
"""A source of `read_documents`: a path or name, an opened split of a data set, or the files of a split in order."""

SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""Names under which each split is looked for: of files, without extension, or of the splits of a data set."""

# As the Hugging Face hub names the parts of one split: train-00000-of-00002.parquet.
_PART = re.compile(r"(?P<split>.+)-\d{5}-of-(?P<parts>\d{5})(?P<end>\..+)")


def find_split_files(path: str | Path, *, tables: bool = False) -> dict[str, Source]:
    """The source of each split that there is, the training split first; a single file or split is for training.

    The test split is for others than training: what is wrong with it ends in a warning, and it is left out.

    Args:
        path: A file, folder or data set, as `load_splits` takes it.
        tables: Text files are tables with a header line, and can hold a split.

    Raises:
        DataError: There is no training split, or one of training or validation is there twice or in part; or as
            `open_dataset`.
    """
    place = _place(path)
    if not isinstance(place, _Splits):
        return {"train": place}
    splits = {"train": place.need("train", "training file", tables)}
    for split in ("validation", "test"):
        try:
            source = place.get(split, tables)
        except DataError as error:
            if split != "test":
                raise
            warn_of_test(error)
            continue
        if source is not None:
            splits[split] = source
    return splits


def resolve_split_file(path: str | Path, split: str = "test", *, tables: bool = False) -> Source:
    """The source of one split: found by name in a folder or data set; a path that is neither is that file itself.

    Args:
        path: A file, folder or data set, as `load_splits` takes it.
        split: Its name.
        tables: as in `find_split_files`.

    Raises:
        ConfigError: `split` is not the name of a split.
        DataError: There is no such split, or it is there twice or in part; or as `open_dataset`.
    """
    wanted = next((name for name, aliases in SPLIT_NAMES.items() if split in aliases), None)
    if wanted is None:
        raise ConfigError(f"unknown split {split!r}: use one of {', '.join(SPLIT_NAMES)}")
    place = _place(path)
    return place.need(wanted, f"file for the {wanted} split", tables) if isinstance(place, _Splits) else place


def warn_of_test(problem: object) -> None:
    """Tell, while training, what is wrong with the test split."""
    logger.warning("test split: %s. Training does not read it; 'tokensieve evaluate' will refuse it", problem)


def sole_source(path: str | Path) -> SingleSource:
    """The source to read if no split is named: the only split of a data set; any other path as it is.

    Raises:
        DataError: The data set has several splits; or as `open_dataset`.
    """
    opened = open_dataset(path)
    if isinstance(opened, dict):
        if len(opened) != 1:
            raise DataError(
                f"{path} has the splits {list_names(opened)}; give the folder of one of them, as save_to_disk writes it"
            )
        return next(iter(opened.values()))
    return opened or path


@dataclass(frozen=True, slots=True)
class _Splits:
    """A folder of split files, or a data set with splits.

    Attributes:
        path: Where it is.
        opened: The splits of a data set by their names; None for a folder.
    """

    path: str | Path
    opened: dict[str, DatasetSplit] | None = None

    def need(self, split: str, missing: str, tables: bool) -> Source:
        """The source of a split that has to be there."""
        source = self.get(split, tables)
        if source is not None:
            return source
        if self.opened is not None:
            names = " or ".join(SPLIT_NAMES[split])
            raise DataError(f"{self.path} has no {split} split ({names}); its splits are {list_names(self.opened)}")
        raise DataError(f"{self.path} has no {missing} ({_names(split)}); it has {_listing(Path(self.path))}")

    def get(self, split: str, tables: bool) -> Source | None:
        """The source of a split, None where there is none.

        Raises:
            DataError: It is there twice, or in part.
        """
        aliases = SPLIT_NAMES[split]
        if self.opened is None:
            return _file_in(Path(self.path), split, tables)
        matches = [name for name in self.opened if name.lower() in aliases]
        if len(matches) > 1:
            raise DataError(f"{self.path} has more than one {split} split: {list_names(matches)}; keep one of them")
        return self.opened[matches[0]] if matches else None


def _place(path: str | Path) -> Source | _Splits:
    """The splits that a path or name stands for, or its single source."""
    opened = open_dataset(path)
    if isinstance(opened, dict):
        return _Splits(path, opened)
    if opened is not None:
        return opened
    return _Splits(path) if str(path) != STDIN and kind_of_path(path) == "folder" else Path(path)


def _file_in(folder: Path, split: str, tables: bool) -> Source | None:
    """The file of a split in a folder, or its parts."""
    matches = [folder / name for name in _entries(folder) if _is_data_file(folder / name, SPLIT_NAMES[split], tables)]
    names = " and ".join(file.name for file in matches)
    if any(_PART.fullmatch(file.name) for file in matches):
        if not _are_whole(matches):
            raise DataError(f"{folder} has not all parts of the {split} split, or other files beside them: {names}")
        return tuple(matches)
    if len(matches) > 1:
        raise DataError(f"{folder} has more than one file for the {split} split: {names}; keep one of them")
    return matches[0] if matches else None


def _entries(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error


def _is_data_file(file: Path, aliases: Sequence[str], tables: bool) -> bool:
    stem, extension, _ = split_extension(file)
    part = _PART.fullmatch(file.name)
    name = part["split"] if part else stem
    readable = extension in EXTENSIONS and (tables or EXTENSIONS[extension] != "txt")
    return name.lower() in aliases and readable and kind_of_path(file) == "file"


def _are_whole(files: Sequence[Path]) -> bool:
    """Whether the files, sorted, are all parts of one split."""
    part = _PART.fullmatch(files[0].name)
    if part is None:
        return False
    names = [f"{part['split']}-{index:05}-of-{part['parts']}{part['end']}" for index in range(int(part["parts"]))]
    return [file.name for file in files] == names


def _names(split: str) -> str:
    extensions = ", ".join(extension for extension, kind in EXTENSIONS.items() if kind != "txt")
    return f"a file called {' or '.join(SPLIT_NAMES[split])} with one of {extensions}, text formats also with .gz"


def _listing(folder: Path, limit: int = 10) -> str:
    names = _entries(folder)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{', '.join(names[:limit])}{more}" if names else "nothing"
