"""What a path or name holds of each split: files of a folder by name, or the splits of a data set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tokensieve.data.huggingface import DatasetSplit, open_dataset
from tokensieve.data.rows import list_names
from tokensieve.data.sources import EXTENSIONS, STDIN, split_extension
from tokensieve.errors import ConfigError, DataError

SingleSource = str | Path | DatasetSplit
Source = SingleSource | tuple[Path, ...]
"""What `read_documents` reads: a path or name, an opened split of a data set, or the files of one split in order."""

SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""Names under which each split is looked for: of files, without extension, or of the splits of a data set."""

# As the Hugging Face hub names the parts of one split: train-00000-of-00002.parquet.
_PART = re.compile(r"(?P<split>.+)-\d{5}-of-(?P<parts>\d{5})(?P<end>\..+)")


def find_split_files(path: str | Path) -> dict[str, Source]:
    """The source of each split that there is, the training split first; a single file or split is for training.

    Raises:
        DataError: There is no training split, or a split is there twice or in part; or as `open_dataset`.
    """
    return _find(path, "train", "training file")


def resolve_split_file(path: str | Path, split: str = "test") -> Source:
    """The source of one split: found by name in a folder or data set; a path that is neither is that file itself.

    Raises:
        ConfigError: `split` is not the name of a split.
        DataError: There is no such split, or it is there twice or in part; or as `open_dataset`.
    """
    wanted = next((name for name, aliases in SPLIT_NAMES.items() if split in aliases), None)
    if wanted is None:
        raise ConfigError(f"unknown split {split!r}: use one of {', '.join(SPLIT_NAMES)}")
    return _find(path, wanted, f"file for the {wanted} split")[wanted]


def sole_source(path: str | Path) -> SingleSource:
    """What to read where no split is named: the one split of a data set; any other path as it is.

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


def _find(path: str | Path, wanted: str, missing: str) -> dict[str, Source]:
    """The source of each split, `wanted` among them; a single file, or a data set without splits, is the wanted one."""
    opened = open_dataset(path)
    if isinstance(opened, dict):
        splits = _splits_of(opened, path)
        if wanted not in splits:
            names = " or ".join(SPLIT_NAMES[wanted])
            raise DataError(f"{path} has no {wanted} split ({names}); its splits are {list_names(opened)}")
        return splits
    if opened is not None or str(path) == STDIN or not Path(path).is_dir():
        return {wanted: opened or Path(path)}
    files = _files_in(Path(path))
    if wanted not in files:
        raise DataError(f"{path} has no {missing} ({_names(wanted)}); it has {_listing(Path(path))}")
    return files


def _splits_of(opened: dict[str, DatasetSplit], path: str | Path) -> dict[str, Source]:
    splits: dict[str, Source] = {}
    for split, aliases in SPLIT_NAMES.items():
        matches = [name for name in opened if name.lower() in aliases]
        if len(matches) > 1:
            raise DataError(f"{path} has more than one {split} split: {list_names(matches)}; keep one of them")
        if matches:
            splits[split] = opened[matches[0]]
    return splits


def _files_in(folder: Path) -> dict[str, Source]:
    """The file of each split in a folder, or its parts, the training split first."""
    files: dict[str, Source] = {}
    for split, aliases in SPLIT_NAMES.items():
        matches = [file for file in sorted(folder.iterdir()) if _is_data_file(file, aliases)]
        names = " and ".join(file.name for file in matches)
        if any(_PART.fullmatch(file.name) for file in matches):
            if not _are_whole(matches):
                raise DataError(f"{folder} has not all parts of the {split} split, or other files beside them: {names}")
            files[split] = tuple(matches)
        elif len(matches) > 1:
            raise DataError(f"{folder} has more than one file for the {split} split: {names}; keep one of them")
        elif matches:
            files[split] = matches[0]
    return files


def _is_data_file(file: Path, aliases: Sequence[str]) -> bool:
    stem, extension, _ = split_extension(file)
    part = _PART.fullmatch(file.name)
    name = part["split"] if part else stem
    return name.lower() in aliases and EXTENSIONS.get(extension, "txt") != "txt" and file.is_file()


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
    names = sorted(entry.name for entry in folder.iterdir())
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{', '.join(names[:limit])}{more}" if names else "nothing"
