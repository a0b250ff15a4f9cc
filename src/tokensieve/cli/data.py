"""The documents that a command reads: the user's own, or the embedded corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokensieve.errors import ConfigError


def name_of_data(data: str | None) -> str:
    """The name of the data in a record: the last part of a path, a data set's name, or that of the embedded corpus."""
    if data is None:
        return "Python standard library"
    return Path(data).resolve().name if Path(data).exists() else str(data)


def refuse_for_corpus(**settings: Any) -> None:
    """Refuse settings for data of the user's own where none is given."""
    for name, value in settings.items():
        if value:
            option = f"--set data.{name}" if name == "unlabelled" else f"--{name.replace('_', '-')}"
            raise ConfigError(f"{option} is for documents of your own, the embedded corpus has no such: give --data")


def training_splits(data: str | None, reading: dict[str, Any], seed: int) -> Any:
    """The splits of a file, folder or data set, else of the embedded corpus.

    `reading` has a value for each of `tokensieve.cli.settings.DATA_FIELDS`.
    """
    from tokensieve.data import load_splits, standard_library_corpus

    if data is None:
        refuse_for_corpus(**{name: reading[name] for name in ("multi_label", "pair_column", "unlabelled")})
        splits = standard_library_corpus()
    else:
        how = {name: value for name, value in reading.items() if name not in ("on_bad_rows", "max_documents")}
        splits = load_splits(data, **how, policy=reading["on_bad_rows"], seed=seed)
    most = reading["max_documents"]
    if most is None:
        return splits
    return splits.limited(train=most, validation=most, test=most, unlabelled=most)
