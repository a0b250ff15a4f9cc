"""Folders of models with something changed in them."""

import json
from pathlib import Path
from typing import Any


def read_config(folder: Path) -> dict[str, Any]:
    """The record in a folder's config.json."""
    record: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return record


def write_config(folder: Path, record: dict[str, Any]) -> Path:
    """Write config.json; return the folder."""
    (folder / "config.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def change_config(folder: Path, **fields: Any) -> Path:
    """Set fields of a folder's config.json; return the folder."""
    return write_config(folder, read_config(folder) | fields)


def named(*labels: str) -> dict[str, dict[Any, Any]]:
    """The fields of a config that name its labels, in the order of their ids."""
    return {"id2label": dict(enumerate(labels)), "label2id": {name: number for number, name in enumerate(labels)}}
