"""The files of a folder by the split that their names stand for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokensieve.data.sources import EXTENSIONS, STDIN, split_extension
from tokensieve.errors import ConfigError, DataError

SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""File names, without extension, under which each split is looked for in a folder."""


def find_split_files(path: str | Path) -> dict[str, Path]:
    """The file of each split that there is, the training file first; a path that is no folder is the training file.

    Raises:
        DataError: The folder has no training file, or two files for one split.
    """
    if str(path) == STDIN or not Path(path).is_dir():
        return {"train": Path(path)}
    files = _files_in(Path(path))
    if "train" not in files:
        raise DataError(f"{path} has no training file ({_names('train')}); it has {_listing(Path(path))}")
    return files


def resolve_split_file(path: str | Path, split: str = "test") -> Path:
    """The file of one split: found by name in a folder; a path that is no folder is that file itself.

    Raises:
        ConfigError: `split` is not the name of a split.
        DataError: The folder has no file for the split, or more than one.
    """
    wanted = next((name for name, aliases in SPLIT_NAMES.items() if split in aliases), None)
    if wanted is None:
        raise ConfigError(f"unknown split {split!r}: use one of {', '.join(SPLIT_NAMES)}")
    if str(path) == STDIN or not Path(path).is_dir():
        return Path(path)
    found = _files_in(Path(path))
    if wanted not in found:
        raise DataError(f"{path} has no file for the {wanted} split ({_names(wanted)}); it has {_listing(Path(path))}")
    return found[wanted]


def _files_in(folder: Path) -> dict[str, Path]:
    """The file of each split in a folder, the training file first."""
    files: dict[str, Path] = {}
    for split, aliases in SPLIT_NAMES.items():
        matches = [file for file in sorted(folder.iterdir()) if _is_data_file(file, aliases)]
        if len(matches) > 1:
            names = " and ".join(file.name for file in matches)
            raise DataError(f"{folder} has more than one file for the {split} split: {names}; keep one of them")
        if matches:
            files[split] = matches[0]
    return files


def _is_data_file(file: Path, aliases: Sequence[str]) -> bool:
    stem, extension, _ = split_extension(file)
    return stem.lower() in aliases and EXTENSIONS.get(extension, "txt") != "txt" and file.is_file()


def _names(split: str) -> str:
    extensions = ", ".join(extension for extension, kind in EXTENSIONS.items() if kind != "txt")
    return f"a file called {' or '.join(SPLIT_NAMES[split])} with one of {extensions}, text formats also with .gz"


def _listing(folder: Path, limit: int = 10) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{', '.join(names[:limit])}{more}" if names else "nothing"
