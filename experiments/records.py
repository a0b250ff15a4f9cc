"""The records of a results folder, in the words of today whatever version wrote them.

New records go to `results/`. Those of an earlier version lie unchanged in a folder that is named after it. A key that
the code renames is added to `RENAMED`; then the tables of old records stay as they are, and nothing else has to change.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from machine import ROOT

RESULTS = ROOT / "results"
"""Scripts write their records here."""
SHOWN = RESULTS / "0.1.0"
"""The tables in README.md and docs/ are made from these records."""
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

Record = dict[str, Any]


class Results:
    """A folder of records.

    Args:
        folder: `results/`, or that of a version in it.
    """

    def __init__(self, folder: Path = SHOWN) -> None:
        self.folder, self.version = folder, folder.name

    def has(self, name: str) -> bool:
        """Whether there is a record of this name, such as "accuracy/bbc-256"."""
        return self._file(name).is_file()

    def read(self, name: str) -> Record:
        """The record of this name."""
        return self._today(self._file(name))

    def read_all(self, pattern: str) -> dict[str, Record]:
        """Every record whose name fits, such as "bench/frontier-*", sorted; by the last part of its name."""
        return {file.stem: self._today(file) for file in sorted(self.folder.glob(f"{pattern}.json"))}

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _today(self, file: Path) -> Record:
        record: Record = renamed(json.loads(file.read_text(encoding="utf-8")), RENAMED.get(self.version, {}))
        for run in record.get("runs", []):
            _fill_in(run)
        return record


def renamed(value: Any, keys: dict[str, str]) -> Any:
    """A record with other names in the place of some keys, at any depth; their order stays."""
    if isinstance(value, dict):
        return {keys.get(key, key): renamed(own, keys) for key, own in value.items()}
    return [renamed(own, keys) for own in value] if isinstance(value, list) else value


def _fill_in(run: Record) -> None:
    """What a run of accuracy.py did not say at first: it was trained in bfloat16 where its recipe has that, and of the
    share that is read again its settings told.
    """
    run.setdefault("bf16", True)
    run["reread"] = run.get("reread") or run.get("settings", {}).get("reread", 0.0)
