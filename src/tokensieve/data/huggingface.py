"""Data sets of the Hugging Face `datasets` package: folders that `save_to_disk` wrote, and names on its hub."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokensieve.data.parquet import BATCH_ROWS, check_columns, distinct, rows_of
from tokensieve.data.rows import Columns, Row
from tokensieve.data.sources import EXTENSIONS, STDIN, split_extension
from tokensieve.errors import DataError, MissingExtraError, first_line

_NAME = re.compile(r"(?P<name>\w[\w.-]*(/\w[\w.-]*)?)(:(?P<config>[^/:]+))?")


@dataclass(frozen=True, slots=True)
class DatasetSplit:
    """One split of a data set, opened; its rows are read when they are asked for.

    Attributes:
        name: What messages and documents call it.
        data: A `datasets.Dataset`.
    """

    name: str
    data: Any

    def __str__(self) -> str:
        return self.name

    def rows(self, columns: Columns, multi_label: bool) -> Iterator[Row]:
        """Its rows, numbered from 1; class numbers become the names that the data set has for them.

        Raises:
            DataError: A column is missing or of a wrong type, or the files behind the data set are broken.
        """
        names = check_columns(self.data.features.arrow_schema, self.name, columns, multi_label)
        classes = self._class_names(names.get("label"))
        for row in rows_of(self._batches(distinct(names)), names):
            yield row if classes is None else replace(row, label=_named(row.label, classes))

    def is_unlabelled(self, label_column: str) -> bool:
        """Whether no row has a label: all null, or -1 in place of a class, as in test splits kept secret."""
        if label_column not in self.data.features:
            return False
        missing = (None,) if self._class_names(label_column) is None else (None, -1)
        values = (value for batch in self._batches([label_column]) for value in batch.column(0).to_pylist())
        return all(value in missing for value in values)

    def _batches(self, names: list[str]) -> Iterator[Any]:
        import pyarrow as pa

        tables = self.data.select_columns(names).with_format("arrow").iter(BATCH_ROWS)
        try:
            for table in tables:
                yield from table.to_batches()
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.name}: cannot be read ({first_line(error)}); save or fetch it again") from error

    def _class_names(self, label_column: str | None) -> list[str] | None:
        feature = self.data.features.get(label_column)
        return getattr(getattr(feature, "feature", feature), "names", None)


def open_dataset(path: str | Path) -> DatasetSplit | dict[str, DatasetSplit] | None:
    """The data set that a path or name stands for, or its splits by the names that it gives them.

    Args:
        path: A folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote; or, as a string and where no
            such path is, ``name`` or ``name:config`` of a data set that `datasets.load_dataset` takes.

    Returns:
        None where it is neither: another path, or one that cannot be a name (with the extension of a data file).

    Raises:
        DataError: The folder is broken, or there is no such data set, or no connection to fetch it.
        MissingExtraError: `datasets` is not installed.
    """
    if _is_saved(Path(path)):
        hub = _require_datasets("reading a saved data set")
        remedy = "write it again with save_to_disk"
        return _opened(str(path), lambda: hub.load_from_disk(str(path)), "a data set that cannot be read", remedy)
    if not isinstance(path, str) or path == STDIN or os.path.exists(path):
        return None
    match = _NAME.fullmatch(path)
    if match is None or split_extension(Path(path))[1] in EXTENSIONS:
        return None
    hub = _require_datasets(f"{path!r} is no file or folder; loading it as a data set of the Hugging Face hub")
    if match["name"] in getattr(hub.packaged_modules, "_PACKAGED_DATASETS_MODULES", ()):
        # load_dataset("csv") would read every CSV file below the current folder.
        raise DataError(f"{path}: no such file or folder, and the name of a format, not of a data set; give its path")
    remedy = (
        "check the path or name, put the name of a configuration behind a colon (name:config), or, without a "
        "connection, give a folder written by the data set's save_to_disk"
    )
    what = "no such file or folder, nor a data set that can be loaded"
    return _opened(path, lambda: hub.load_dataset(match["name"], match["config"]), what, remedy)


def _is_saved(folder: Path) -> bool:
    # os.path, unlike pathlib, takes a name too long for a file as one that is not there.
    def has(name: str) -> bool:
        return os.path.isfile(folder / name)

    return has("dataset_dict.json") or (has("dataset_info.json") and has("state.json"))


def _require_datasets(feature: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(feature, "datasets", "datasets") from error
    return datasets


def _opened(place: str, load: Callable[[], Any], problem: str, remedy: str) -> DatasetSplit | dict[str, DatasetSplit]:
    try:
        loaded = load()
    except Exception as error:  # of the connection, the hub, the cache or a parser: there is no common class
        raise DataError(f"{place}: {problem} ({first_line(error)}); {remedy}") from error
    if isinstance(loaded, Mapping):
        return {str(split): DatasetSplit(f"{place}[{split}]", data) for split, data in loaded.items()}
    return DatasetSplit(place, loaded)


def _named(label: object, names: list[str]) -> object:
    """The name of a class, those of a list of classes; None for a number that stands for no class, such as -1."""
    if isinstance(label, list):
        return [_named(item, names) for item in label]
    return names[label] if isinstance(label, int) and 0 <= label < len(names) else None
