"""The records of a results folder, in the words of today whatever version wrote them.

New records go to `results/`. Those of an earlier version lie in a folder that is named after it; their figures never
change. A key that the code renames is added to `RENAMED`; then the tables of old records stay as they are, and nothing
else has to change. A record is one file, or a folder with a file for each variant or seed (`record_files.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokensieve_bench.places import SHOWN
from tokensieve_bench.record_files import Record, is_record, read_record

RENAMED: dict[str, dict[str, str]] = {
    "0.1.0": {
        "subjects": "contenders",
        "subject": "contender",
        "words_on_disk": "offload_embeddings",
        **{f"{preset}, words on disk": f"{preset}, embeddings offloaded" for preset in ("dense", "fast", "fastest")},
        "tighten": "pruning_warmup",
        "new_rate": "head_lr_multiplier",
        "follow": "feature_epochs",
        "reread_loss": "max_expected_loss",
    }
}
"""By version, keys of its records and what they are called today. They are looked for at any depth, and the name of a
variant or contender is a key, too: no such name may be among them.
"""
VARIANTS: dict[str, dict[str, str]] = {
    "0.1.0": {
        "fast, 8 % again": "fast, 8 % deferred",
        "fast, none again": "fast, none deferred",
        ".55 to .165, 5 % again": ".55 to .165, 5 % deferred",
        ".42 to .10, 9 % again": ".42 to .10, 9 % deferred",
        ".42 to .10, 12 % again by .75 to .30": ".42 to .10, 12 % deferred to .75 to .30",
    }
}
"""Old and new names of variants and contenders, by version; they are keys and values at any depth."""
OPTIONS: dict[str, str] = {
    "--pooling": "pooling",
    "--attention-dropout": "train.attention_dropout",
    "--select": "train.select",
}
"""Options of 0.1.0 in the commands that a record tells, and the path that --set has for each today."""


class Results:
    """A folder of records.

    Args:
        folder: `results/`, or that of a version in it.
    """

    def __init__(self, folder: Path = SHOWN) -> None:
        self.folder, self.version = folder, folder.name

    def has(self, name: str) -> bool:
        """Whether there is a record of this name, such as "accuracy/bbc-256"."""
        return is_record(self.folder / name)

    def read(self, name: str) -> Record:
        """The record of this name."""
        return self._today(self.folder / name)

    def read_all(self, pattern: str) -> dict[str, Record]:
        """Every record whose name fits, such as "bench/frontier-*", sorted; by the last part of its name."""
        places = {place.with_name(place.name.removesuffix(".json")) for place in self.folder.glob(pattern)}
        in_order = sorted(places, key=lambda place: f"{place}.json")  # the pages have them in the order of files
        return {place.name: self._today(place) for place in in_order if is_record(place)}

    def _today(self, place: Path) -> Record:
        names = VARIANTS.get(self.version, {})
        keys = {**RENAMED.get(self.version, {}), **names}
        record: Record = renamed(read_record(place), keys, names)
        for run in record.get("runs", []):
            _fill_in(run)
        return record


def renamed(value: Any, keys: dict[str, str], values: dict[str, str]) -> Any:
    """A record with other names in the place of some keys, and of some texts, at any depth; their order stays."""
    if isinstance(value, dict):
        return {keys.get(key, key): renamed(own, keys, values) for key, own in value.items()}
    if isinstance(value, list):
        return [renamed(own, keys, values) for own in value]
    return values.get(value, value) if isinstance(value, str) else value


def command_of_today(options: Sequence[str]) -> list[str]:
    """Options of a command as a record tells them, each with its value, in the words of today."""
    told: list[str] = []
    for option in options:
        path = OPTIONS.get(told[-1]) if told else None
        told[-1:] = [*told[-1:], option] if path is None else ["--set", f"{path}={option}"]
    return told


def _fill_in(run: Record) -> None:
    """Add what the first runs of train.py left out.

    Their recipe has bfloat16. The share of the documents that is deferred had another name, or stood in the settings
    alone.
    """
    run.setdefault("bf16", True)
    share = run.get("deferred") or run.pop("reread", None) or run.get("settings", {}).get("reread")
    run["deferred"] = share or 0.0
